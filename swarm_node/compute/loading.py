"""Loading some of a model's blocks, and the fastest way to run them that computes what the model's own forward does."""

from __future__ import annotations

import logging

import torch

from routing.errors import UsageError
from routing.span import Span
from swarm_node.compute.cache import Row
from swarm_node.compute.quantised import quantise
from swarm_node.compute.settings import SELF_CHECK_TOLERANCE_EXACT, SELF_CHECK_TOLERANCE_ROUGH
from swarm_node.compute.span import BlockSpan, CachePath
from swarm_node.model import ModelSource, Quant, keep_span, load_pruned, make_fast, needed_tensors
from swarm_node.process import freed_memory_returned

logger = logging.getLogger(__name__)


def load_span(
    source: ModelSource,
    span: Span,
    *,
    dtype: torch.dtype,
    quant: Quant = Quant.NONE,
    device: str | torch.device = "cpu",
    path: CachePath | None = None,
) -> BlockSpan:
    """Load the blocks of ``span``, fetching only the weight files they are in; ``path`` None is chosen by a check.

    Raises UsageError if the model has no such blocks, ModelError if its weights do not fit it. Blocks for disk and
    network: call it in a thread.
    """
    if span.end > source.blocks:
        raise UsageError(f"blocks {span} are not in {source.name}, which has blocks 0:{source.blocks}")
    length = source.shapes.output_length
    with freed_memory_returned():
        model = load_pruned(source, span, dtype, lambda made: keep_span(made, span, length))
        quantise(model, quant, device)  # before a GPU gets them all, which may have no room for the plain weights
        loaded = BlockSpan(model.to(device), span, source.shapes, dtype)
        make_fast(model)
    if path is not None:
        if not loaded.take(path):
            raise UsageError(f"model type {source.config.model_type} has no {path} cache path; leave it to the check")
    else:
        take_fastest(loaded)
    logger.info("blocks %s of %s run by the %s cache path", span, source.name, loaded.path)
    return loaded


def fetch_span(source: ModelSource, span: Span) -> None:
    """Bring the weight files of these blocks to this machine. Raises ModelNotFound; blocks for the network."""
    tensors = needed_tensors(source.shards, source.shapes.list_name, span)
    for file in sorted(set(tensors.values())):
        source.files.path(file)


logger = logging.getLogger(__name__)

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


def _is_right(loaded: BlockSpan, block: int, expected: torch.Tensor) -> bool:
    path = loaded.path
    try:
        output, elements = _run(loaded, block)
    except Exception:
        # An architecture may hand our attention anything; whatever goes wrong there, the other path is right.
        logger.info("block %d fails on the %s path", block, path, exc_info=True)
        return False
    if elements != {block: loaded.shapes.token_elements[block]}:
        logger.info("block %d caches %s per token on the %s path", block, elements or "nothing", path)
        return False
    difference = _difference(output, expected)
    if not difference < _tolerance(loaded.dtype):
        logger.info("block %d differs by %.2g on the %s path", block, difference, path)
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
