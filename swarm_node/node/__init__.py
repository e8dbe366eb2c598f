"""A node's life: joining, choosing and loading blocks, serving sessions, moving, leaving.

``Node.run`` owns all of it."""

from __future__ import annotations

from swarm_node.node.machine import claimed_identity
from swarm_node.node.node import Node, NodeOptions
from swarm_node.node.view import Standing

__all__ = ["Node", "NodeOptions", "Standing", "claimed_identity"]
