"""What a model is, what its blocks cost, where its weights lie, and how a part of it is loaded.

It runs no blocks: a client loads the ends of a model by it, and ``compute`` the blocks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from swarm_node.model.outline import read_outline

if TYPE_CHECKING:
    from swarm_node.model.architecture import cache_class
    from swarm_node.model.fast_linear import make_fast
    from swarm_node.model.footprint import BlockShapes, Footprint
    from swarm_node.model.linear_layers import bias_of, exchange, weight_of
    from swarm_node.model.loading import load_ends, load_pruned, remote_blocks
    from swarm_node.model.present import open_present
    from swarm_node.model.quant import NF4_VALUES, Quant
    from swarm_node.model.quiet import quiet
    from swarm_node.model.rope import VariableRope, longest_alike
    from swarm_node.model.source import ModelSource, read_costs
    from swarm_node.model.surgery import LayerList, Skip, accepted, as_block_output, hidden_argument, keep_span

__all__ = [
    "NF4_VALUES", "BlockShapes", "Footprint", "LayerList", "ModelSource", "Quant", "Skip", "VariableRope", "accepted",
    "as_block_output", "bias_of", "cache_class", "exchange", "hidden_argument", "keep_span", "load_ends", "load_pruned",
    "longest_alike", "make_fast", "open_present", "quiet", "read_costs", "read_outline", "remote_blocks", "weight_of",
]  # fmt: skip

_LARGE = (
    "architecture", "fast_linear", "footprint", "linear_layers", "loading", "present", "quant", "quiet", "rope",
    "shards", "source", "surgery",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the rest when something of it is first used: it brings transformers, which takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    for part in _LARGE:
        found = vars(import_module(f"{__name__}.{part}"))
        globals().update({shown: found[shown] for shown in __all__ if shown in found})
    return globals()[name]
