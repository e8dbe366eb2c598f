"""Loading parts of a model: only the weights that are wanted, or everything but the blocks, for a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from routing.errors import ModelError
from routing.span import Span
from swarm_node.model.architecture import class_of, pruned
from swarm_node.model.fast_linear import make_fast
from swarm_node.model.quiet import quiet
from swarm_node.model.shards import view
from swarm_node.model.source import ModelSource
from swarm_node.model.surgery import LayerList, RemoteBlocks, keep_ends
from swarm_node.model.without_memory import with_all_shapes

_NOTHING_ATTENDS = "swarm_remote"
"""Attention of a model without blocks. As no mask function has that name, transformers builds no mask."""


def load_pruned(
    source: ModelSource, span: Span | None, dtype: torch.dtype, prune: Callable[[Any], None]
) -> PreTrainedModel:
    """The model with the weights of ``span``, or of all but its blocks; ``prune`` takes out the rest while it is made.

    Raises ModelError if its weights do not fit it. Blocks for disk and network: call it in a thread.
    """
    kind = pruned(class_of(source.config), prune)
    with view(source.files, source.needed_tensors(span)) as directory, quiet():
        try:
            model, report = with_all_shapes(
                lambda: kind.from_pretrained(str(directory), dtype=dtype, output_loading_info=True)
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"the weights of {source.name} cannot be loaded ({error}); download it again") from error
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(f"the weights of {source.name} lack {missing}; download it again")
    loaded: PreTrainedModel = model.eval().requires_grad_(False)
    return loaded


def load_ends(source: ModelSource, *, dtype: torch.dtype, device: str | torch.device = "cpu") -> PreTrainedModel:
    """Load the model without its blocks: embeddings, final norm, head, and a RemoteBlocks in place of the blocks.

    Raises ModelError if its weights do not fit it. Blocks for disk and network: call it in a thread.
    """
    model = load_pruned(source, None, dtype, lambda made: keep_ends(made, source.shapes.output_length))
    model.to(device)
    make_fast(model)
    with quiet():
        model.set_attn_implementation(_NOTHING_ATTENDS)
    return model


def remote_blocks(model: PreTrainedModel) -> RemoteBlocks:
    """The stand-in for the blocks in a model from load_ends()."""
    stand_in = LayerList.find(model)[0]
    assert isinstance(stand_in, RemoteBlocks), "this model was not loaded without its blocks"
    return stand_in


def _attend(*_: Any, **__: Any) -> Any:
    raise RuntimeError("the blocks of this model are elsewhere")


ALL_ATTENTION_FUNCTIONS.register(_NOTHING_ATTENDS, _attend)
