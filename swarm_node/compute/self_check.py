"""The fastest way to run loaded blocks that computes what the model's own forward does: each is tried."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from routing.errors import ModelUnsupported
from routing.span import Span
from swarm_node.compute.cache import Row
from swarm_node.compute.settings import SELF_CHECK_TOLERANCE_EXACT, SELF_CHECK_TOLERANCE_ROUGH
from swarm_node.compute.span import BlockSpan, CachePath

log = logging.getLogger(__name__)

_CHUNKS = ((3, 2), (2, 1))
"""Tokens of two sessions in the first step and in the second: new and cached tokens, several and single ones."""


def take_fastest(loaded: BlockSpan) -> None:
    """Put the span, which is on the rectangle path, on the fastest that is right.

    A few tokens run through one block of each kind. A path is wrong if the results differ, if the model does not call
    our attention, or if that would cache more than the model's own (compressed keys and values).
    """
    chosen = _one_of_each_kind(loaded)
    expected = {block: _run(loaded, block)[0] for block in chosen}
    for path in (CachePath.LEAN, CachePath.FLATTENED):
        if loaded.take(path) and all(_is_right(loaded, block, output) for block, output in expected.items()):
            return
    loaded.take(CachePath.RECTANGLE)


def check_states(loaded: BlockSpan) -> None:
    """Find out how blocks that keep states go on from them, and whether they do.

    A sequence may run at once, or token by token with all that is kept in between; transformers' code of some
    architectures goes on only so. Raises ModelUnsupported if that too leads elsewhere.
    """
    for block in _one_of_each_kind(loaded):
        hidden = torch.randn(5, loaded.hidden_size, generator=torch.Generator().manual_seed(block))
        at_once = _in_parts(loaded, block, hidden, (5,))
        if not _goes_on(_in_parts(loaded, block, hidden, (3, 1, 1)), at_once, loaded.dtype):
            raise ModelUnsupported(
                f"block {block} does not go on from its own state in this transformers; another version may be right"
            )
        if not _goes_on(_in_parts(loaded, block, hidden, (3, 2)), at_once, loaded.dtype) or _forgets(loaded, block):
            log.info("block %d goes on from its state only token by token", block)
            loaded.token_by_token = True


def _goes_on(parted: torch.Tensor, at_once: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether the last two of five tokens came to the same; in half precision, whether one did."""
    differences = [_difference(parted[token : token + 1], at_once[token : token + 1]) for token in (3, 4)]
    # Rounding may send a token to another expert.
    return (max if dtype is torch.float32 else min)(differences) < _tolerance(dtype)


def _forgets(loaded: BlockSpan, block: int) -> bool:
    """Whether a recurrent state tells in a step of one token, and not in one of several.

    Bit by bit: what a state tells may be less than what rounding in half precision does.
    """
    layers, span = loaded.shapes.layers(Span(block, block + 1)).blocks(), Span(block, block + 1)

    def after(tokens: int, *, emptied: bool) -> torch.Tensor:
        hidden = torch.randn(6, loaded.hidden_size, generator=torch.Generator().manual_seed(block))
        cache = loaded.new_cache(6)
        loaded.step([Row(cache, 4)], hidden[:4], span)
        if emptied and cache.states is not None:
            held = {name: cache.states.get(name) for name in ((layer, "recurrent", 0) for layer in layers)}
            empty = {name: torch.zeros_like(state) for name, state in held.items() if state is not None}
            cache.states.stepped(cache.written, hidden[:0], empty)
        return loaded.step([Row(cache, tokens)], hidden[4 : 4 + tokens], span)

    return torch.equal(after(2, emptied=True), after(2, emptied=False)) and not torch.equal(
        after(1, emptied=True), after(1, emptied=False)
    )


def _in_parts(loaded: BlockSpan, block: int, hidden: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """What the block makes of one session's ``hidden``, [tokens, width], in steps of so many tokens."""
    cache = loaded.new_cache(len(hidden))
    span = Span(block, block + 1)
    return torch.cat([loaded.step([Row(cache, len(part))], part, span) for part in hidden.split(list(lengths))]).float()


def _is_right(loaded: BlockSpan, block: int, expected: torch.Tensor) -> bool:
    path = loaded.path
    try:
        output, elements = _run(loaded, block)
    except Exception:
        # An architecture may hand our attention anything; whatever goes wrong there, the other path is right.
        log.info("block %d fails on the %s path", block, path, exc_info=True)
        return False
    layers = loaded.shapes.layers(Span(block, block + 1))
    if elements != {layer: loaded.shapes.token_elements[layer] for layer in layers.blocks()}:
        log.info("block %d caches %s per token on the %s path", block, elements or "nothing", path)
        return False
    difference = _difference(output, expected)
    if not difference < _tolerance(loaded.dtype):
        log.info("block %d differs by %.2g on the %s path", block, difference, path)
        return False
    return True


def _one_of_each_kind(loaded: BlockSpan) -> list[int]:
    shapes = loaded.shapes

    def kind(block: int) -> tuple[Any, ...]:
        layers = shapes.layers(Span(block, block + 1)).blocks()
        return tuple((loaded.reaches[layer], *cached[layer]) for layer in layers)

    cached = list(zip(shapes.parameters, shapes.token_elements, shapes.state_elements, strict=True))
    kinds = {kind(block): block for block in loaded.span.blocks()}
    return sorted(kinds.values())


def _run(loaded: BlockSpan, block: int) -> tuple[torch.Tensor, dict[int, int]]:
    """Outputs of both steps, [tokens, hidden], and what the first session's cache keeps per token."""
    random = torch.Generator().manual_seed(block)
    caches = [loaded.new_cache(sum(lengths)) for lengths in zip(*_CHUNKS, strict=True)]
    outputs = []
    for lengths in _CHUNKS:
        rows = [Row(cache, tokens) for cache, tokens in zip(caches, lengths, strict=True)]
        hidden = torch.randn(sum(lengths), loaded.hidden_size, generator=random)
        outputs.append(loaded.step(rows, hidden, Span(block, block + 1)))
    return torch.cat(outputs).float(), caches[0].token_elements()


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    relative = (one - other).norm(dim=-1) / other.norm(dim=-1).clamp_min(1e-6)
    return float(relative.max())


def _tolerance(dtype: torch.dtype) -> float:
    return SELF_CHECK_TOLERANCE_EXACT if dtype is torch.float32 else SELF_CHECK_TOLERANCE_ROUGH
