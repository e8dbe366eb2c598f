"""The project's own sessions, which also note when each of a replay's requests got its chains."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from routing import Hop, SessionShape
from swarm_node.client.chain import Chain
from swarm_node.client.chains import Chains
from swarm_node.client.session import Session


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


class WatchedSession(Session):
    """As Session, for one ``request``, in which it notes what happens. It steps alone, never together with others."""

    def __init__(self, chains: Chains, max_tokens: int, timeout: float, request: Asked) -> None:
        super().__init__(chains, max_tokens, timeout)
        self.request = request

    async def take_chain(self, shape: SessionShape, until: float, since: float | None) -> Chain:
        request = self.request
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
        """What the session does to get a chain; see open_chain."""
        return await super().take_chain(shape, until, None)
