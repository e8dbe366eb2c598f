"""Rows times weights in 8 bits on a GPU: the weights are read as they are, half as many bytes as bfloat16."""

from __future__ import annotations

import torch
import triton

from swarm_node.kernels import DOT_ROWS, multiply_int8

_TILE_OUTPUTS = 32
_TILE_INPUTS = 256


def int8_product(rows: torch.Tensor, levels: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """[rows, in] times int8 [out, in], each output times its float32 scale: [rows, out] in the dtype of ``rows``."""
    count, inputs = rows.shape
    outputs = levels.shape[0]
    output = rows.new_empty(count, outputs)
    multiply_int8[(triton.cdiv(outputs, _TILE_OUTPUTS),)](
        rows.contiguous(), levels, scales, output, count, inputs, outputs,
        rows_most=max(DOT_ROWS, triton.next_power_of_2(count)),
        tile_outputs=_TILE_OUTPUTS,
        tile_inputs=_TILE_INPUTS,
        num_stages=4,
    )  # fmt: skip
    return output
