"""In how many bits the weights of linear layers may be kept, and what that takes."""

from __future__ import annotations

import math
from enum import StrEnum

import torch

NF4_VALUES = 64
"""Weights that share a scale in 4 bits."""


class Quant(StrEnum):
    """How the weights of linear layers are kept."""

    NONE = "none"
    """As they are, in the dtype of the blocks."""
    INT8 = "int8"
    """In 8 bits, with a scale for each output."""
    NF4 = "nf4"
    """In 4 bits, with a scale for each 64 weights."""


def linear_bytes(quant: Quant, weights: int, outputs: int, dtype: torch.dtype) -> int:
    """What linear layers take that have so many ``weights`` and ``outputs`` in all, without biases."""
    match quant:
        case Quant.NONE:
            return weights * dtype.itemsize
        case Quant.INT8:
            return weights + outputs * torch.float32.itemsize
        case Quant.NF4:
            return math.ceil(weights / 2) + math.ceil(weights / NF4_VALUES) * torch.float32.itemsize
