"""Attention of single tokens over caches that lie anywhere in a GPU's memory: what is launched, and for whom.

A step is handed over as a table of addresses. So a graph of it can be recorded once and replayed for other sessions,
whose caches stay as they are: nothing is gathered or copied. Kernels that ship with torch want all caches in one
tensor of pages, and are for half precision only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton

from swarm_node.compute.attention import Asked, Reach
from swarm_node.compute.cache import PLACE_NUMBERS
from swarm_node.compute.gpu.kernels import DOT_ROWS, attend_by_parts, join_parts, write_tokens
from swarm_node.compute.settings import ATTENTION_SPLITS_MAX, ATTENTION_TILE_BYTES


@dataclass(frozen=True, slots=True)
class TokenAttention:
    """Each token by itself: its key and value go into its cache, then it attends to what it sees there."""

    table: torch.Tensor
    """int64 [PLACE_NUMBERS * blocks + 1, tokens] on the GPU: each token's place in the cache of each block, and at the
    end its position."""
    first_block: int
    reaches: Sequence[Reach]
    """Of all blocks of the model."""

    def __call__(self, block: int, asked: Asked) -> torch.Tensor:
        """See Attending."""
        query, key, value, scaling, softcap, sinks = asked
        if not query.dtype == key.dtype == value.dtype:
            raise TypeError(f"queries in {query.dtype} cannot read keys in {key.dtype} and values in {value.dtype}")
        heads, tokens, key_width = query.shape
        key_heads, _tokens, value_width = value.shape
        row = PLACE_NUMBERS * (block - self.first_block)
        caches, positions = self.table[row : row + PLACE_NUMBERS], self.table[-1]
        widths = {
            "key_width": key_width,
            "value_width": value_width,
            "key_lanes": max(DOT_ROWS, triton.next_power_of_2(key_width)),
            "value_lanes": max(DOT_ROWS, triton.next_power_of_2(value_width)),
        }
        key, value, query = (part if part.stride(-1) == 1 else part.contiguous() for part in (key, value, query))
        write_tokens[(tokens, key_heads)](
            key, value, caches, positions, tokens,
            key.stride(0), key.stride(1), value.stride(0), value.stride(1), **widths,
        )  # fmt: skip

        splits = _splits(tokens * key_heads, query.device)
        sums = query.new_empty((tokens, heads, splits, value_width), dtype=torch.float32)
        weights = query.new_empty((2, tokens, heads, splits), dtype=torch.float32)
        reach = self.reaches[block]
        group = heads // key_heads
        row_bytes = (widths["key_lanes"] + widths["value_lanes"]) * query.element_size()
        attend_by_parts[(tokens, key_heads, splits)](
            query, sums, weights, caches, positions, tokens, query.stride(0), query.stride(1), scaling,
            group=group,
            rows=max(DOT_ROWS, triton.next_power_of_2(group)),
            window=reach.window or 0,
            chunk=reach.chunk or 0,
            softcap=softcap or 0.0,
            tile=max(DOT_ROWS, min(64, ATTENTION_TILE_BYTES // row_bytes)),
            num_stages=2,
            **widths,
        )  # fmt: skip

        output = query.new_empty((tokens, heads, value_width))
        join_parts[(tokens, heads)](
            sums, weights, output, splits, tokens, query if sinks is None else sinks,
            sinking=sinks is not None,
            splits_most=ATTENTION_SPLITS_MAX,
            value_width=value_width,
            value_lanes=widths["value_lanes"],
        )  # fmt: skip
        return output


def _splits(alone: int, device: torch.device) -> int:
    """Parts in which to work on each token's cache, for ``alone`` programs if there were no parts."""
    processors = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
    return max(1, min(ATTENTION_SPLITS_MAX, 2 * processors // alone))
