"""The project's own client, which also notes when each of a replay's sessions got its chains."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

import trio

from routing import Hop, SessionShape
from swarm_node.client.chain import Chain
from swarm_node.client.client import SwarmClient


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotShape(SessionShape):
    """A session that reserves a whole slot, though it knows how long its answer will be."""

    new_tokens: int

    @property
    def passes(self) -> int:
        return self.new_tokens


@dataclass(slots=True)
class Asked:
    """What one request wants, and what its client did for it."""

    new_tokens: int
    hops: tuple[Hop, ...] = ()
    started: float | None = None
    """Trio's clock, when its first chain was open."""
    chains: int = 0
    refusals: int = 0


asked: ContextVar[Asked] = ContextVar("asked")
"""Of the request whose task this is: sessions do not say which they are when they ask for a chain."""


class WatchedClient(SwarmClient):
    """As SwarmClient; sessions are opened in tasks of which each has set ``asked``, never several at once."""

    async def open_chain(self, shape: SessionShape, until: float, since: float | None = None) -> Chain:
        request = asked.get()
        told = SlotShape(
            shape.prompt_tokens, shape.max_tokens, shape.token_bytes, new_tokens=max(request.new_tokens, 1)
        )
        chain = await self.choose_chain(told, until)
        request.chains += 1
        request.hops = chain.hops
        if request.started is None:
            request.started = trio.current_time()
        return chain

    async def choose_chain(self, shape: SessionShape, until: float) -> Chain:
        """What the client does to get a chain; see SwarmClient.open_chain."""
        return await super().open_chain(shape, until)
