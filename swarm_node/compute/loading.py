"""Loading some of a model's blocks, ready to run."""

from __future__ import annotations

import logging

import torch

from routing.errors import UsageError
from routing.span import Span
from swarm_node.compute.delta import take_lean_mixers
from swarm_node.compute.quantised import quantise
from swarm_node.compute.self_check import check_states, take_fastest
from swarm_node.compute.span import BlockSpan, CachePath
from swarm_node.model import ModelSource, Quant, keep_span, load_pruned, make_fast
from swarm_node.process import freed_memory_returned

log = logging.getLogger(__name__)


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
    length, layers = source.shapes.output_length, source.shapes.layers(span)
    with freed_memory_returned():
        model = load_pruned(source, span, dtype, lambda made: keep_span(made, layers, length))
        quantise(model, quant, device)  # before a GPU gets them all, which may have no room for the plain weights
        loaded = BlockSpan(model.to(device), span, source.shapes, dtype)
        make_fast(model)
        take_lean_mixers(model)
    if path is not None:
        if not loaded.take(path):
            raise UsageError(f"model type {source.config.model_type} has no {path} cache path; leave it to the check")
    elif not source.shapes.keeps_states:
        take_fastest(loaded)
    if source.shapes.keeps_states:
        check_states(loaded)
    log.info("blocks %s of %s run by the %s cache path", span, source.name, loaded.path)
    return loaded


def fetch_span(source: ModelSource, span: Span) -> None:
    """Bring the weight files of these blocks to this machine. Raises ModelNotFound; blocks for the network."""
    for file in sorted(set(source.needed_tensors(span).values())):
        source.files.path(file)
