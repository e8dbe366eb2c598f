"""Linear layers whose weights are kept in 4 bits (NF4, arXiv 2305.14314) by bitsandbytes: for little memory."""

from __future__ import annotations

import functools
import logging
import math
from typing import Any

import torch
from torch import nn

from swarm_node.linear_layers import bias_of, weight_of

VALUES = 64
"""Weights that share a scale."""


def nf4_bytes(weights: int) -> int:
    """What so many weights of one layer take."""
    return math.ceil(weights / 2) + math.ceil(weights / VALUES) * torch.float32.itemsize


class Nf4Linear(nn.Module):
    """A linear layer whose weights are ``packed``, two in a byte, times ``scales``, float32, one for 64 weights.

    Inputs and outputs are of the model's dtype; it computes in it too.
    """

    packed: torch.Tensor
    scales: torch.Tensor

    def __init__(self, linear: nn.Module, device: torch.device | str) -> None:
        """``linear``: a Linear or a Conv1D; its weights are packed on ``device`` and stay there."""
        super().__init__()
        plain = weight_of(linear).to(device).contiguous()
        self.out_features, self.in_features = plain.shape
        packed, state = _bitsandbytes().functional.quantize_4bit(plain, blocksize=VALUES, quant_type="nf4")
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


@functools.cache
def _bitsandbytes() -> Any:
    """The library, which takes a while to import and on some processors tells what else it would like to have."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import bitsandbytes

    return bitsandbytes
