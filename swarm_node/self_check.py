"""Whether the fast cache path computes what a model's own attention does; asked once, when blocks are loaded."""

from __future__ import annotations

import logging

import torch

from routing.span import Span
from swarm_node.block_span import BlockSpan, CachePath, Row
from swarm_node.settings import SELF_CHECK_TOLERANCE_EXACT, SELF_CHECK_TOLERANCE_ROUGH

logger = logging.getLogger(__name__)

_CHUNKS = ((3, 2), (2, 1))
"""Tokens of two sessions in the first step and in the second: new and cached tokens, several and single ones."""


def flattened_is_right(loaded: BlockSpan) -> bool:
    """Run a few tokens through one block of each kind by both paths. Leaves the span on the last path that it tried.

    False if the results differ, if the model does not call our attention, or if that would cache more than the
    model's own (compressed keys and values).
    """
    chosen = _one_of_each_kind(loaded)
    expected = [_run(loaded, block) for block in chosen]
    if not loaded.take(CachePath.FLATTENED):
        return False
    for block, (output, _elements) in zip(chosen, expected, strict=True):
        try:
            flattened, elements = _run(loaded, block)
        except Exception:
            # An architecture may hand our attention anything; whatever goes wrong there, the other path is right.
            logger.info("block %d fails on the flattened path", block, exc_info=True)
            return False
        if elements != {block: loaded.shapes.token_elements[block]}:
            logger.info("block %d caches %s per token on the flattened path", block, elements or "nothing")
            return False
        difference = _difference(flattened, output)
        if not difference < _tolerance(loaded.dtype):
            logger.info("block %d differs by %.2g on the flattened path", block, difference)
            return False
    return True


def _one_of_each_kind(loaded: BlockSpan) -> list[int]:
    kinds = {(loaded.reaches[block], loaded.shapes.parameters[block]): block for block in loaded.span.blocks()}
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
