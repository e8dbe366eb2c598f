"""A client's way through the swarm: choosing a chain of nodes, keeping it, and finding another when it breaks.

Hidden states go in and come out; it knows no model but its card."""

from __future__ import annotations

from swarm_node.client.bridge import Bridge
from swarm_node.client.client import Sight, describe_route, open_client
from swarm_node.client.session import Session
from swarm_node.client.step import SessionStep, StepState
from swarm_node.client.together import decode_together, step_together

__all__ = [
    "Bridge", "Session", "SessionStep", "Sight", "StepState", "decode_together", "describe_route", "open_client",
    "step_together",
]  # fmt: skip
