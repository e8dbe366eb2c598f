"""Linear layers in the form in which this processor multiplies them fastest; their results stay the same."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import nn

from swarm_node.linear_layers import bias_of, exchange, weight_of
from swarm_node.packed_linear import packed
from swarm_node.settings import WIDENED_COLUMNS, WIDENED_ROWS


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
