"""Runs a Turn: its prompt, its choices as rows of the batch, and the events of their answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from swarm_node.gateway.keys import Key
from swarm_node.gateway.metrics import Metrics
from swarm_node.gateway.served import Served
from swarm_node.gateway.turn import Event, Turn


@asynccontextmanager
async def events_of(turn: Turn, served: Served, key: Key, metrics: Metrics) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of ``turn``, in order; Counted is the last. Leaving early frees the places of every choice.

    Entering checks the turn and makes its prompt: raises UsageError, ContextTooLong. The events raise what the batch
    raises.
    """
    raise NotImplementedError
    yield
