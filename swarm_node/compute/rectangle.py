"""The caches of several sessions as one left-padded transformers cache, for models with attention of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache

from swarm_node.compute.cache import SequenceCache


class RectangleCache(Cache):
    """Lives for one step of ``tokens`` new tokens in each of ``caches``; padded to the longest of them.

    A step may go on in several forwards: see go_on().
    """

    is_compileable = False
    is_sliding = ()
    is_linear = ()
    is_dummy = ()

    def __init__(self, caches: Sequence[SequenceCache], tokens: int) -> None:
        self.layers: list[Any] = []
        self._caches = caches
        self._tokens = tokens
        self._begun = 0
        """Tokens of the step that forwards before this one put into each cache."""
        self._past = max(cache.written for cache in caches)

    def go_on(self, tokens: int) -> None:
        """The next forward has ``tokens`` further ones."""
        self._begun += self._tokens
        self._past += self._tokens
        self._tokens = tokens

    def positions(self, device: torch.device) -> torch.Tensor:
        """Positions of the new tokens: [rows, tokens]."""
        starts = torch.tensor([[cache.written + self._begun] for cache in self._caches], device=device)
        return starts + torch.arange(self._tokens, device=device)

    def mask(self, device: torch.device) -> torch.Tensor:
        """1 where there is a token, 0 in the padding: [rows, padded length]."""
        padding = torch.tensor([[self._past - self._begun - cache.written] for cache in self._caches], device=device)
        return (torch.arange(self._past + self._tokens, device=device) >= padding).long()

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._past

    def get_query_offset(self, layer_idx: int = 0) -> int:
        return self._past

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        return self._past + query_length, 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        written = [
            cache.write(layer_idx, key_states[row], value_states[row], self._begun)
            for row, cache in enumerate(self._caches)
        ]
        if len(written) == 1:
            return written[0][0][None], written[0][1][None]
        length = self._past + self._tokens
        return _padded([keys for keys, _values in written], length), _padded([values for _k, values in written], length)

    def update_indexer(self, indexer_key_states: torch.Tensor, layer_idx: int) -> torch.Tensor:
        keys = [
            cache.write_index(layer_idx, indexer_key_states[row], self._begun)[None]
            for row, cache in enumerate(self._caches)
        ]
        return _padded(keys, self._past + self._tokens)[:, 0]


def _padded(parts: list[torch.Tensor], length: int) -> torch.Tensor:
    """Stack [heads, tokens, width] of different lengths to [rows, heads, length, width], zeros on the left."""
    heads, _tokens, width = parts[0].shape
    whole = parts[0].new_empty(len(parts), heads, length, width)
    for row, part in enumerate(parts):
        padding = length - part.shape[1]
        whole[row, :, :padding] = 0  # not left empty: masked garbage may still be NaN
        whole[row, :, padding:] = part
    return whole
