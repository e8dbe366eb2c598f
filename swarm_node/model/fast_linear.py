"""Linear layers in the form in which this processor multiplies them fastest; their results stay the same."""

from __future__ import annotations

import logging
import time
from functools import cache

import torch
import torch.nn.functional as functional
from torch import nn

from swarm_node.model.linear_layers import bias_of, exchange, weight_of
from swarm_node.model.settings import MKL_ROWS, PACKED_ROWS, SAMPLE_ROWS, SAMPLE_WEIGHTS, SAMPLE_WIDTH
from swarm_node.settings import WIDENED_COLUMNS, WIDENED_ROWS

log = logging.getLogger(__name__)


def make_fast(module: nn.Module) -> None:
    """Exchange the linear layers inside ``module`` that lie on the CPU, where there is a faster form of them.

    Memory stays what it was, but for a weight that something else shares and a megabyte a layer in MKL's order.
    """
    exchange(module, faster)
    for parameter in module.parameters():
        if parameter.ndim == 1 and parameter.device.type == "cpu":
            # Norms and biases may be views into a mapped file, all of which they would keep beside the packed weights.
            parameter.data = parameter.data.clone()


def faster(linear: nn.Module) -> nn.Module:
    """``linear``, a Linear or a Conv1D, in its fast form; itself if there is none."""
    weight, bias = weight_of(linear), bias_of(linear)
    if weight.device.type != "cpu":
        return linear
    fast = packed(weight, bias)
    if fast is not None:
        return fast
    if weight.dtype in (torch.bfloat16, torch.float16):
        return WidenedLinear(weight.contiguous(), bias)
    return linear


class WidenedLinear(nn.Module):
    """A linear layer in half precision for a processor that has no arithmetic for it.

    torch has a good kernel for one row there, and for many a very slow one; those are multiplied in float32, some
    columns of the weight at a time, and rounded at the end, as hardware does it.
    """

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = bias

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[…, in] to […, out]."""
        if rows.numel() < WIDENED_ROWS * self.in_features:
            return functional.linear(rows, self.weight, self.bias)
        wide = rows.float()
        parts = [functional.linear(wide, part.float()) for part in self.weight.split(WIDENED_COLUMNS)]
        output = torch.cat(parts, dim=-1)
        if self.bias is not None:
            output += self.bias
        return output.to(rows.dtype)


class OneDnnLinear(nn.Module):
    """In oneDNN's order, in any number format in which the processor computes."""

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bias = bias
        self._packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_ROWS)

    @property
    def weight(self) -> torch.Tensor:
        """A plain copy: for models that multiply by the weight themselves, slowly."""
        return self._packed.to_dense()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[…, in] to […, out]."""
        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, self.bias, "none", [], "")
        return output


class MklLinear(nn.Module):
    """In MKL's order, float32 only. It takes about a megabyte more than the weight."""

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bias = bias
        self._packed: torch.Tensor = torch.ops.mkl._mkl_reorder_linear_weight(weight.contiguous(), MKL_ROWS)
        # torch multiplies by the plain weight where the rows are not as many as it is told; else it reads its shape.
        self._shape = torch.empty(()).expand(weight.shape)

    @property
    def weight(self) -> torch.Tensor:
        """A plain copy: for models that multiply by the weight themselves, slowly."""
        unit = torch.eye(self.in_features)
        packed: torch.Tensor = torch.ops.mkl._mkl_linear(unit, self._packed, self._shape, None, self.in_features)
        return packed.t()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[…, in] to […, out]."""
        count = rows.numel() // self.in_features
        output: torch.Tensor = torch.ops.mkl._mkl_linear(rows, self._packed, self._shape, self.bias, count)
        return output


PackedLinear = OneDnnLinear | MklLinear


def packed(weight: torch.Tensor, bias: nn.Parameter | None) -> PackedLinear | None:
    """A layer with ``weight`` [out, in] in the fastest order there is; None if there is none for its format here."""
    if not torch.backends.mkldnn.is_available():
        return None
    match weight.dtype:
        case torch.float32:
            return _float32_kind()(weight, bias)
        case torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return OneDnnLinear(weight, bias)
        case torch.float16 if torch.ops.mkldnn._is_mkldnn_fp16_supported():
            return OneDnnLinear(weight, bias)
    return None


@cache
@torch.inference_mode()
def _float32_kind() -> type[PackedLinear]:
    """Which library is faster depends on the processor, so both are tried."""
    if not torch.backends.mkl.is_available():
        return OneDnnLinear
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(SAMPLE_WEIGHTS, SAMPLE_WIDTH, SAMPLE_WIDTH, generator=generator)
    rows = torch.randn(max(SAMPLE_ROWS), SAMPLE_WIDTH, generator=generator)
    layers = {kind: [kind(weight, None) for weight in weights] for kind in (OneDnnLinear, MklLinear)}
    for count in SAMPLE_ROWS:
        plain = functional.linear(rows[:count], weights[0])
        if not torch.allclose(layers[MklLinear][0](rows[:count]), plain, rtol=1e-3, atol=1e-3):
            log.warning("MKL's packed product is wrong on this machine; oneDNN's is used")
            return OneDnnLinear
    return min(layers, key=lambda kind: _seconds(layers[kind], rows))


def _seconds(layers: list[PackedLinear], rows: torch.Tensor) -> float:
    """The best of a few times for as many rows as sessions mostly have together."""
    total = 0.0
    for count in SAMPLE_ROWS:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            for layer in layers:
                layer(rows[:count])
            times.append(time.perf_counter() - start)
        total += min(times)
    return total
