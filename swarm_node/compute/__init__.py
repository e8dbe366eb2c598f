"""Blocks that run: loaded, with the caches of many sessions, on a CPU or a GPU.

One thread at a time; whose step runs when is the business of ``engine``."""

from __future__ import annotations

from swarm_node.compute.cache import Layers, Row, SequenceCache, block_tokens_of, layers_of
from swarm_node.compute.hosting import HostedBlocks, HostedModel, StoredModel
from swarm_node.compute.lean import LEAN_MODELS
from swarm_node.compute.loading import load_span
from swarm_node.compute.span import BlockSpan, CachePath

__all__ = [
    "LEAN_MODELS", "BlockSpan", "CachePath", "HostedBlocks", "HostedModel", "Layers", "Row", "SequenceCache",
    "StoredModel", "block_tokens_of", "layers_of", "load_span",
]  # fmt: skip
