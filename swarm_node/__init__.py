"""A node and a client of the swarm at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarm_node.remote_model import AutoSwarmModelForCausalLM, SwarmModel

__all__ = ["AutoSwarmModelForCausalLM", "SwarmModel"]


def __getattr__(name: str) -> Any:
    """Import the public classes when they are first used: transformers takes seconds, and --help should not."""
    if name in __all__:
        from swarm_node import remote_model

        return getattr(remote_model, name)
    raise AttributeError(f"module 'swarm_node' has no attribute '{name}'")
