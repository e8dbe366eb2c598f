"""A node and a client of the swarm at run time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarm_node.generate import AutoSwarmModelForCausalLM, SwarmModel

# Read when torch is imported, or at its first product.
#
# Threads that compute wait actively for their next piece, by default for several milliseconds after the last: with a
# client and nodes on one machine, each would take a core from whoever is at work then.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
# oneDNN, and torch beside it, keep what they make for each shape of a product, half a MiB or more, of a thousand.
# These are enough for decodes; a prompt whose length has not come for long takes a few milliseconds more.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
os.environ.setdefault("LRU_CACHE_CAPACITY", "64")

__all__ = ["AutoSwarmModelForCausalLM", "SwarmModel"]


def __getattr__(name: str) -> Any:
    """Import the public classes when they are first used: transformers takes seconds, and --help should not."""
    if name in __all__:
        from swarm_node import generate

        return getattr(generate, name)
    raise AttributeError(f"module 'swarm_node' has no attribute '{name}'")
