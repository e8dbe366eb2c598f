"""A transformers model over the swarm: ``generate`` with everything it can do, and guesses ahead.

The blocks are remote; embeddings, head and the choice of tokens are here."""

from __future__ import annotations

from swarm_node.generate.batch import Answer, Batch, open_batch
from swarm_node.generate.cache import RemoteCache
from swarm_node.generate.model import AutoSwarmModelForCausalLM, SwarmModel, connect
from swarm_node.generate.request import Request, Token

__all__ = [
    "Answer", "AutoSwarmModelForCausalLM", "Batch", "RemoteCache", "Request", "SwarmModel", "Token", "connect",
    "open_batch",
]  # fmt: skip
