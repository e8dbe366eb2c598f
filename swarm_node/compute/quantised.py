"""Linear layers whose weights are kept in fewer bits; in 8, they take half of bfloat16's memory and are sooner read."""

from __future__ import annotations

import logging
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as functional
from torch import nn

from swarm_node.compute.settings import INT8_ROWS
from swarm_node.model import NF4_VALUES, Quant, bias_of, exchange, weight_of
from swarm_node.settings import WIDENED_COLUMNS


def quantise(module: nn.Module, quant: Quant, device: str | torch.device = "cpu") -> None:
    """Exchange the linear layers inside ``module`` one by one, for ones that are to run on ``device``.

    Embeddings, norms and experts that a model fuses into one tensor stay as they are.
    """
    match quant:
        case Quant.INT8:
            exchange(module, Int8Linear)
        case Quant.NF4:
            exchange(module, partial(Nf4Linear, device=device))


class Int8Linear(nn.Module):
    """A linear layer whose weight is ``levels`` (int8 [out, in], -127 to 127) times one scale for each output.

    The scale makes the largest weight of an output 127. Inputs and outputs are of the model's dtype.
    """

    levels: torch.Tensor
    scales: torch.Tensor

    def __init__(self, linear: nn.Module) -> None:
        """``linear``: a Linear or a Conv1D."""
        super().__init__()
        plain = weight_of(linear)
        self.out_features, self.in_features = plain.shape
        wide = plain.float()
        scales = wide.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / 127
        self.register_buffer("levels", (wide / scales[:, None]).round().to(torch.int8).contiguous())
        self.register_buffer("scales", scales)
        self.bias = bias_of(linear)
        self._dtype = plain.dtype

    @property
    def weight(self) -> torch.Tensor:
        """A plain copy, for models that multiply by the weight themselves."""
        return (self.levels * self.scales[:, None]).to(self._dtype)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[…, in] to […, out]."""
        few = rows.numel() <= INT8_ROWS[rows.device.type] * self.in_features
        output = self._few(rows) if few else self._many(rows)
        return output if self.bias is None else output + self.bias

    def _few(self, rows: torch.Tensor) -> torch.Tensor:
        flat = rows.reshape(-1, self.in_features)
        output: torch.Tensor
        if rows.device.type == "cpu":
            output = torch._weight_int8pack_mm(flat, self.levels, self.scales.to(rows.dtype))
        else:
            from swarm_node.compute.gpu.kernels import int8_product  # Triton comes with torch for GPUs only

            output = int8_product(flat, self.levels, self.scales)
        return output.view(*rows.shape[:-1], self.out_features)

    def _many(self, rows: torch.Tensor) -> torch.Tensor:
        """On a CPU in float32, some outputs at a time: their wide weights stay in the processor's cache."""
        if rows.device.type != "cpu":
            return functional.linear(rows, self.levels.to(rows.dtype)) * self.scales.to(rows.dtype)
        wide = rows.float()
        parts = [functional.linear(wide, part.float()) for part in self.levels.split(WIDENED_COLUMNS)]
        return (torch.cat(parts, dim=-1) * self.scales).to(rows.dtype)


class Nf4Linear(nn.Module):
    """A linear layer in NF4 (arXiv 2305.14314), by bitsandbytes: for little memory.

    Its weights are ``packed``, two in a byte, times ``scales``, float32, one for NF4_VALUES of them. Inputs and
    outputs are of the model's dtype; it computes in it too.
    """

    packed: torch.Tensor
    scales: torch.Tensor

    def __init__(self, linear: nn.Module, device: torch.device | str) -> None:
        """``linear``: a Linear or a Conv1D; its weights are packed on ``device`` and stay there."""
        super().__init__()
        plain = weight_of(linear).to(device).contiguous()
        self.out_features, self.in_features = plain.shape
        packed, state = _bitsandbytes().functional.quantize_4bit(plain, blocksize=NF4_VALUES, quant_type="nf4")
        self.register_buffer("packed", packed)
        self.register_buffer("scales", state.absmax)
        self.bias = bias_of(linear)
        self._state = state

    @property
    def weight(self) -> torch.Tensor:
        """A plain copy, for models that multiply by the weight themselves."""
        plain: torch.Tensor = _bitsandbytes().functional.dequantize_4bit(self.packed, self._state)
        return plain

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[…, in] to […, out]."""
        output: torch.Tensor = _bitsandbytes().matmul_4bit(rows, self.packed, self._state, bias=self.bias)
        return output


@cache
def _bitsandbytes() -> Any:
    """The library, which takes a while to import and on some processors tells what else it would like to have."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import bitsandbytes

    return bitsandbytes
