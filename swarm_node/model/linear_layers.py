"""The linear layers of a model, found and exchanged for ones that compute the same in another way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


def is_linear(module: nn.Module) -> bool:
    """A Linear or a Conv1D. Subclasses are left alone: they may compute something else."""
    return type(module) in (nn.Linear, Conv1D)


def linear_layers(module: nn.Module) -> Iterator[nn.Module]:
    """All of them in ``module``."""
    return filter(is_linear, module.modules())


def weight_of(linear: nn.Module) -> torch.Tensor:
    """[out, in] of a Linear or a Conv1D; a view."""
    weight = linear.weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach().t() if isinstance(linear, Conv1D) else weight.detach()


def bias_of(linear: nn.Module) -> nn.Parameter | None:
    bias = linear.bias
    assert bias is None or isinstance(bias, nn.Parameter)
    return bias


def exchange(module: nn.Module, other: Callable[[nn.Module], nn.Module]) -> None:
    """Put ``other(layer)`` in the place of each linear layer inside ``module``, one by one: memory hardly grows."""
    for name, child in list(module.named_children()):
        if is_linear(child):
            setattr(module, name, other(child))
        else:
            exchange(child, other)
