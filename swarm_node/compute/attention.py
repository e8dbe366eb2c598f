"""Attention over a flattened batch: rows of many sessions in one sequence, each attending to its own cache.

Registered with transformers under the name FLATTENED. As no mask function has that name, transformers builds no mask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as functional
from transformers import PreTrainedConfig
from transformers.cache_utils import get_layer_types_and_kwargs
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from swarm_node.compute.cache import SequenceCache

FLATTENED = "swarm_flattened"


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back the tokens of one block see; None is without that limit."""

    window: int | None = None
    """Tokens, the attending one included."""
    chunk: int | None = None
    """Tokens see only those of their own chunk of this many positions."""

    @property
    def limited(self) -> bool:
        return self.window is not None or self.chunk is not None

    def first(self, position: int) -> int:
        """The first position that the token at ``position`` sees."""
        first = 0
        if self.window is not None:
            first = max(first, position - self.window + 1)
        if self.chunk is not None:
            first = max(first, position // self.chunk * self.chunk)
        return first

    def mask(self, start: int, end: int, first: int, device: torch.device) -> torch.Tensor:
        """Which of positions ``first:end`` each of ``start:end`` sees: bool [end - start, end - first]."""
        seeing = torch.arange(start, end, device=device)[:, None]
        seen = torch.arange(first, end, device=device)[None]
        mask = seen <= seeing
        if self.window is not None:
            mask &= seen > seeing - self.window
        if self.chunk is not None:
            mask &= seen // self.chunk == seeing // self.chunk
        return mask


def block_reaches(config: PreTrainedConfig) -> tuple[Reach, ...]:
    """The reach of each block of a model."""
    types, options = get_layer_types_and_kwargs(config.get_text_config())
    return tuple(
        Reach(
            window=option.get("sliding_window") if kind == "sliding_attention" else None,
            chunk=option.get("sliding_window") if kind == "chunked_attention" else None,
        )
        for kind, option in zip(types, options, strict=True)
    )


class Asked(NamedTuple):
    """What the attention of one block is asked in a step."""

    query: torch.Tensor
    """[heads, tokens, width]"""
    key: torch.Tensor
    """[key heads, tokens, width], as is ``value``."""
    value: torch.Tensor
    scaling: float
    softcap: float | None
    sinks: torch.Tensor | None


Attending = Callable[[int, Asked], torch.Tensor]
"""How the tokens of one step attend, to what and by which kernels: block and question to [tokens, heads, width]."""


class _Step(threading.local):
    """What this thread runs; transformers has no argument to hand it through."""

    attend: Attending | None = None


_step = _Step()


@contextmanager
def attending(attend: Attending) -> Iterator[None]:
    """Inside, this thread's flattened attention is ``attend``."""
    _step.attend = attend
    try:
        yield
    finally:
        _step.attend = None


def attend(block: int, asked: Asked) -> torch.Tensor:
    """What the tokens of this thread's step see: [tokens, heads, width]."""
    if _step.attend is None:
        raise RuntimeError("flattened attention runs only inside attending()")
    return _step.attend(block, asked)


def flattened_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it: query, key and value are [1, heads, tokens, width] over all rows.

    Returns [1, tokens, heads, width].
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(module.layer_idx, Asked(query[0], key[0], value[0], scaling, softcap, s_aux))[None], None


@dataclass(frozen=True, slots=True)
class RowAttention:
    """Row by row, each attending to its own cache by torch's kernels: right everywhere."""

    rows: Sequence[tuple[SequenceCache, int]]
    """Caches, and how many tokens each gets."""
    reaches: Sequence[Reach]
    """Of all blocks of the model."""

    def __call__(self, block: int, asked: Asked) -> torch.Tensor:
        """See Attending."""
        query, key, value, scaling, softcap, sinks = asked
        plain = softcap is None and sinks is None
        if plain and len(self.rows) == query.shape[1]:
            return self._single(block, asked)
        reach = self.reaches[block]
        kernel = _plain if plain else _capped
        outputs, offset = [], 0
        for cache, tokens in self.rows:
            part = slice(offset, offset + tokens)
            start, offset = cache.length, offset + tokens
            keys, values = cache.write(block, key[:, part], value[:, part])
            first = reach.first(start)
            outputs.append(
                kernel(query[:, part], keys[:, first:], values[:, first:], _Place(start, first, reach),
                       scaling, softcap, sinks)
            )  # fmt: skip
        return torch.cat(outputs, dim=1).transpose(0, 1)

    def _single(self, block: int, asked: Asked) -> torch.Tensor:
        """For one token a row, where what surrounds the kernel would take as long as the kernel."""
        heads, tokens, _width = asked.query.shape
        key_heads = asked.key.shape[0]
        reach = self.reaches[block]
        # The heads that share keys become rows of one product, which reads the cache once instead of once per head.
        queries = asked.query.transpose(0, 1).reshape(tokens, 1, key_heads, heads // key_heads, -1).unbind()
        new_keys = asked.key.transpose(0, 1).unsqueeze(2).unbind()
        new_values = asked.value.transpose(0, 1).unsqueeze(2).unbind()
        outputs = []
        for (cache, _), query, key, value in zip(self.rows, queries, new_keys, new_values, strict=True):
            keys, values = cache.write(block, key, value)
            if first := reach.first(cache.length):
                keys, values = keys[:, first:], values[:, first:]
            outputs.append(
                functional.scaled_dot_product_attention(query, keys[None], values[None], scale=asked.scaling)
            )
        return torch.cat(outputs).view(tokens, heads, -1)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the queries stand and where the keys begin."""

    start: int
    first: int
    reach: Reach

    def mask(self, tokens: int, device: torch.device) -> torch.Tensor | None:
        if tokens == 1:
            return None  # the keys begin where this token's sight does
        return self.reach.mask(self.start, self.start + tokens, self.first, device)


def _plain(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, place: _Place, scaling: float, *_: Any
) -> torch.Tensor:
    """query [heads, tokens, width] over keys and values [key heads, seen, width], by torch's fused kernel."""
    heads, tokens, _width = query.shape
    groups = heads // keys.shape[0]
    if tokens == 1 and groups > 1:  # beside a prompt; as _single
        packed = query.reshape(1, keys.shape[0], groups, -1)
        output = functional.scaled_dot_product_attention(packed, keys[None], values[None], scale=scaling)
        return output.reshape(heads, 1, -1)
    causal = tokens > 1 and place.start == place.first == 0 and not place.reach.limited
    return functional.scaled_dot_product_attention(
        query[None],
        keys[None],
        values[None],
        attn_mask=None if causal else place.mask(tokens, query.device),
        is_causal=causal,
        scale=scaling,
        enable_gqa=groups > 1,
    )[0]


def _capped(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    place: _Place,
    scaling: float,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """As _plain, with the scores softly capped, or with a sink per head that takes its share of the attention."""
    heads, tokens, _width = query.shape
    groups = heads // keys.shape[0]
    scores = query @ keys.repeat_interleave(groups, dim=0).transpose(1, 2) * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    mask = place.mask(tokens, query.device)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    if sinks is not None:
        scores = torch.cat([scores, sinks.to(scores.dtype).reshape(-1, 1, 1).expand(-1, tokens, 1)], dim=-1)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    if sinks is not None:
        weights = weights[..., :-1]
    return weights @ values.repeat_interleave(groups, dim=0)


ALL_ATTENTION_FUNCTIONS.register(FLATTENED, flattened_attention)
