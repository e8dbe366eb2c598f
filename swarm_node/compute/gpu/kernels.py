"""Attention of single tokens and products with int8 weights, in Triton, which comes with torch made for GPUs.

Triton compiles what stands here: arguments that are pointers are tensors for whoever launches a kernel.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

DOT_ROWS = 16
"""Least rows, and columns, of a matrix product."""

_TILE_OUTPUTS = 32
_TILE_INPUTS = 256
"""Weights in 8 bits that one program multiplies at a time."""


@triton.jit(do_not_specialize=["tokens"])
def write_tokens(
    key,
    value,
    caches,
    positions,
    tokens,
    key_head_stride,
    key_token_stride,
    value_head_stride,
    value_token_stride,
    key_width: tl.constexpr,
    value_width: tl.constexpr,
    key_lanes: tl.constexpr,
    value_lanes: tl.constexpr,
):
    """Put the key and value of one token and head into its cache."""
    token, head = tl.program_id(0), tl.program_id(1)
    kind: tl.constexpr = key.dtype.element_ty
    place = head * tl.load(caches + 2 * tokens + token) + tl.load(positions + token)
    lanes = tl.arange(0, key_lanes)
    held = tl.load(caches + token).to(tl.pointer_type(kind)) + place * key_width
    new = tl.load(key + head * key_head_stride + token * key_token_stride + lanes, mask=lanes < key_width)
    tl.store(held + lanes, new, mask=lanes < key_width)
    lanes = tl.arange(0, value_lanes)
    held = tl.load(caches + tokens + token).to(tl.pointer_type(kind)) + place * value_width
    new = tl.load(value + head * value_head_stride + token * value_token_stride + lanes, mask=lanes < value_width)
    tl.store(held + lanes, new, mask=lanes < value_width)


@triton.jit(do_not_specialize=["tokens"])
def attend_by_parts(
    query,
    sums,
    weights,
    caches,
    positions,
    tokens,
    head_stride,
    token_stride,
    scaling,
    group: tl.constexpr,
    rows: tl.constexpr,
    window: tl.constexpr,
    chunk: tl.constexpr,
    softcap: tl.constexpr,
    tile: tl.constexpr,
    key_width: tl.constexpr,
    value_width: tl.constexpr,
    key_lanes: tl.constexpr,
    value_lanes: tl.constexpr,
):
    """Attend with the query heads of one key head, for one token, to one part of what it sees.

    Leaves the weighted sum of the values, the largest score and the sum of the weights relative to that.
    """
    token, head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    parts = tl.num_programs(2)
    kind: tl.constexpr = query.dtype.element_ty
    position = tl.load(positions + token)
    first = position * 0
    if window > 0:
        first = tl.maximum(first, position - window + 1)
    if chunk > 0:
        first = tl.maximum(first, position // chunk * chunk)
    share = tl.cdiv(tl.cdiv(position + 1 - first, parts), tile) * tile
    begin = first + part * share
    end = tl.minimum(begin + share, position + 1)

    room = tl.load(caches + 2 * tokens + token)
    keys = tl.load(caches + token).to(tl.pointer_type(kind)) + head * room * key_width
    values = tl.load(caches + tokens + token).to(tl.pointer_type(kind)) + head * room * value_width
    key_lane, value_lane, row = tl.arange(0, key_lanes), tl.arange(0, value_lanes), tl.arange(0, rows)
    heads = head * group + row
    asked = tl.load(
        query + heads[:, None] * head_stride + token * token_stride + key_lane[None, :],
        mask=(row < group)[:, None] & (key_lane < key_width)[None, :],
        other=0.0,
    )
    best = tl.full([rows], float("-inf"), tl.float32)
    total = tl.zeros([rows], tl.float32)
    summed = tl.zeros([rows, value_lanes], tl.float32)
    for at in range(begin, end, tile):
        place = at + tl.arange(0, tile)
        held = tl.load(
            keys + place[None, :] * key_width + key_lane[:, None],
            mask=(place < end)[None, :] & (key_lane < key_width)[:, None],
            other=0.0,
        )
        scores = tl.dot(asked, held, input_precision="ieee") * scaling
        if softcap > 0:
            scores = (2 * tl.sigmoid(2 * scores / softcap) - 1) * softcap
        scores = tl.where((place < end)[None, :], scores, float("-inf"))
        better = tl.maximum(best, tl.max(scores, 1))
        fading = tl.exp(best - better)
        shares = tl.exp(scores - better[:, None])
        total = total * fading + tl.sum(shares, 1)
        held = tl.load(
            values + place[:, None] * value_width + value_lane[None, :],
            mask=(place < end)[:, None] & (value_lane < value_width)[None, :],
            other=0.0,
        )
        summed = summed * fading[:, None] + tl.dot(shares.to(kind), held, input_precision="ieee")
        best = better

    all_heads = tl.num_programs(1) * group
    to = (token * all_heads + heads) * parts + part
    tl.store(weights + to, best, mask=row < group)
    tl.store(weights + tokens * all_heads * parts + to, total, mask=row < group)
    tl.store(
        sums + to[:, None] * value_width + value_lane[None, :],
        summed,
        mask=(row < group)[:, None] & (value_lane < value_width)[None, :],
    )


@triton.jit(do_not_specialize=["parts", "tokens"])
def join_parts(
    sums,
    weights,
    output,
    parts,
    tokens,
    sinks,
    sinking: tl.constexpr,
    splits_most: tl.constexpr,
    value_width: tl.constexpr,
    value_lanes: tl.constexpr,
):
    """Add up what attend_by_parts left for one token and head."""
    token, head = tl.program_id(0), tl.program_id(1)
    heads = tl.num_programs(1)
    at = token * heads + head
    part, lane = tl.arange(0, splits_most), tl.arange(0, value_lanes)
    best = tl.load(weights + at * parts + part, mask=part < parts, other=float("-inf"))
    total = tl.load(weights + (tokens * heads + at) * parts + part, mask=part < parts, other=0.0)
    top = tl.max(best, 0)
    if sinking:
        sink = tl.load(sinks + head).to(tl.float32)
        top = tl.maximum(top, sink)
    factor = tl.exp(best - top)
    whole = tl.sum(total * factor, 0)
    if sinking:
        whole += tl.exp(sink - top)
    summed = tl.load(
        sums + (at * parts + part)[:, None] * value_width + lane[None, :],
        mask=(part < parts)[:, None] & (lane < value_width)[None, :],
        other=0.0,
    )
    joined = tl.sum(summed * factor[:, None], 0) / whole
    tl.store(output + at * value_width + lane, joined.to(output.dtype.element_ty), mask=lane < value_width)


@triton.jit(do_not_specialize=["count"])
def multiply_int8(
    rows,
    levels,
    scales,
    output,
    count,
    inputs,
    outputs,
    rows_most: tl.constexpr,
    tile_outputs: tl.constexpr,
    tile_inputs: tl.constexpr,
):
    """All rows times the weights of some outputs."""
    row = tl.arange(0, rows_most)
    out = tl.program_id(0) * tile_outputs + tl.arange(0, tile_outputs)
    sums = tl.zeros([rows_most, tile_outputs], tl.float32)
    for at in range(0, inputs, tile_inputs):
        lane = at + tl.arange(0, tile_inputs)
        some = tl.load(
            rows + row[:, None] * inputs + lane[None, :],
            mask=(row < count)[:, None] & (lane < inputs)[None, :],
            other=0.0,
        )
        weights = tl.load(
            levels + out[None, :].to(tl.int64) * inputs + lane[:, None],
            mask=(out < outputs)[None, :] & (lane < inputs)[:, None],
            other=0,
        )
        sums += tl.dot(some, weights.to(some.dtype), input_precision="ieee")
    sums *= tl.load(scales + out, mask=out < outputs, other=0.0)[None, :]
    tl.store(
        output + row[:, None] * outputs + out[None, :],
        sums.to(output.dtype.element_ty),
        mask=(row < count)[:, None] & (out < outputs)[None, :],
    )


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
