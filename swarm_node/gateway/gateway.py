"""The gateway's heart: what every API asks for answers, and the limits that hold for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from swarm_node.gateway.errors import too_many
from swarm_node.gateway.keys import Key, Keys
from swarm_node.gateway.metrics import Metrics
from swarm_node.gateway.served import Models
from swarm_node.gateway.settings import CONCURRENT_REQUESTS
from swarm_node.gateway.turn import Event, Turn
from swarm_node.gateway.turns import events_of


@dataclass(slots=True)
class Gateway:
    """Owned by who serves it. It holds no connection: its models' batches do, and end after it."""

    models: Models
    keys: Keys = field(default_factory=Keys)
    metrics: Metrics = field(default_factory=Metrics)
    running: int = 0
    """Requests under way."""

    def key_of(self, request: Request) -> Key:
        """Whose request it is; the application has checked it already."""
        key: Key = request.state.key
        return key

    @contextmanager
    def request(self, key: Key) -> Iterator[None]:
        """One request for text runs in here. Raises Refused (429) if the key's limits or the gateway's are reached."""
        if self.running >= CONCURRENT_REQUESTS:
            raise too_many(f"{CONCURRENT_REQUESTS} requests are under way here; try again later")
        with key.request():
            self.running += 1
            try:
                yield
            finally:
                self.running -= 1

    @asynccontextmanager
    async def turns(self, turn: Turn, key: Key) -> AsyncIterator[AsyncIterator[Event]]:
        """The events that answer ``turn``, within the limits of ``key``.

        Entering checks the turn and makes its prompt; leaving, or being cancelled, frees its places at every node at
        once. Raises Refused, UsageError, ContextTooLong on entering, and what a batch raises with the events.
        """
        with self.request(key):
            served = await self.models.served(turn.model)
            async with events_of(turn, served, key, self.metrics) as events:
                yield events
