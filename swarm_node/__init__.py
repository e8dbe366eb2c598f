"""A node and a client of the swarm at run time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarm_node.remote_model import AutoSwarmModelForCausalLM, SwarmModel

# Threads that compute wait actively for their next piece, by default for several milliseconds after the last: with a
# client and nodes on one machine, each would take a core from whoever is at work then. Read when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

__all__ = ["AutoSwarmModelForCausalLM", "SwarmModel"]


def __getattr__(name: str) -> Any:
    """Import the public classes when they are first used: transformers takes seconds, and --help should not."""
    if name in __all__:
        from swarm_node import remote_model

        return getattr(remote_model, name)
    raise AttributeError(f"module 'swarm_node' has no attribute '{name}'")
