"""Loading parts of a model: some of its blocks for a node, or everything but the blocks for a client."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from routing.errors import ModelError, UsageError
from routing.span import Span
from swarm_node.allocator import freed_memory_returned
from swarm_node.attention import FLATTENED
from swarm_node.block_span import BlockSpan, CachePath
from swarm_node.fast_linear import make_fast
from swarm_node.layer_list import LayerList
from swarm_node.model_source import ModelSource
from swarm_node.pruning import RemoteBlocks, keep_ends, keep_span
from swarm_node.quantised import Quant, quantise
from swarm_node.quiet import quiet
from swarm_node.self_check import take_fastest
from swarm_node.shards import needed_tensors, view

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
        model = _load(source, span, dtype, lambda made: keep_span(made, span, length))
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


def load_ends(source: ModelSource, *, dtype: torch.dtype, device: str | torch.device = "cpu") -> PreTrainedModel:
    """Load the model without its blocks: embeddings, final norm, head, and a RemoteBlocks in place of the blocks.

    Raises ModelError if its weights do not fit it. Blocks for disk and network: call it in a thread.
    """
    model = _load(source, None, dtype, lambda made: keep_ends(made, source.shapes.output_length))
    model.to(device)
    make_fast(model)
    with quiet():
        model.set_attn_implementation(FLATTENED)  # nothing attends here, so no mask need be built
    return model


def remote_blocks(model: PreTrainedModel) -> RemoteBlocks:
    """The stand-in for the blocks in a model from load_ends()."""
    stand_in = LayerList.find(model)[0]
    assert isinstance(stand_in, RemoteBlocks), "this model was not loaded without its blocks"
    return stand_in


def _load(
    source: ModelSource,
    span: Span | None,
    dtype: torch.dtype,
    prune: Callable[[Any], None],
) -> PreTrainedModel:
    original = MODEL_FOR_CAUSAL_LM_MAPPING[type(source.config)]

    def make(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        original.__init__(self, config, *args, **kwargs)
        prune(self)

    # A class of the same name in the same module: transformers looks both up to learn what the class can do.
    pruned: Any = type(original.__name__, (original,), {"__init__": make, "__module__": original.__module__})
    tensors = needed_tensors(source.shards, source.shapes.list_name, span)
    with view(source.files, tensors) as directory, quiet():
        try:
            model, report = pruned.from_pretrained(str(directory), dtype=dtype, output_loading_info=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"the weights of {source.name} cannot be loaded ({error}); download it again") from error
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(f"the weights of {source.name} lack {missing}; download it again")
    loaded: PreTrainedModel = model.eval().requires_grad_(False)
    return loaded
