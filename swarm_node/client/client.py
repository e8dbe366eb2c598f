"""A client's place in the swarm: it joins, opens sessions, looks at who is there, and leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from dht import open_guest, short_name
from routing import Hop, Snapshot
from routing.errors import ContextTooLong
from swarm_node.client.chains import Chains
from swarm_node.client.session import Session
from swarm_node.wire import ModelCard, WireDtype


@dataclass(frozen=True, slots=True)
class Sight:
    """The swarm as one client sees it."""

    snapshot: Snapshot
    round_trips: Mapping[str, float]
    """Seconds there and back by peer id, of the nodes that it has spoken with."""
    failed: frozenset[str]
    """Peers that have failed it lately, whatever their records say."""


class SwarmClient:
    """Opens sessions through one swarm of one model. Owned by ``open_client``, whose end ends them all."""

    def __init__(self, chains: Chains, timeout: float) -> None:
        """``timeout``: seconds that a session waits for a chain."""
        self.chains = chains
        self.timeout = timeout

    def open_session(self, max_tokens: int, owner: str = "") -> Session:
        """A new sequence of at most ``max_tokens``; it takes a chain at its first step.

        ``owner``: whose it is, if this client asks for several people: nodes share nothing between them.
        """
        limit = self.chains.card.context_length
        if limit is not None and max_tokens > limit:
            raise ContextTooLong(f"{max_tokens} tokens (prompt and new ones) exceed the model's context of {limit}")
        return Session(self.chains, max_tokens, self.timeout, owner)

    async def current_swarm(self) -> Snapshot:
        """The swarm as it is now. Raises WrongModel if it is empty because the peers serve another model."""
        snapshot = await self.chains.snapshot(max_age=0.0)
        await self.chains.check_model()
        return snapshot

    async def sight(self) -> Sight:
        """The same with what the client has met itself. Raises WrongModel."""
        snapshot = await self.current_swarm()
        router = self.chains.router
        return Sight(snapshot, router.round_trips.measured(), router.avoided())


@asynccontextmanager
async def open_client(
    source: ModelCard,
    initial_peers: Sequence[str],
    *,
    timeout: float,
    notice: Callable[[str], None],
    wire: WireDtype | None = None,
) -> AsyncIterator[SwarmClient]:
    """Join the swarm as a client under a throw-away identity; leave it, with every session closed, at the end.

    ``timeout``: seconds that a session waits for a chain. ``notice`` is told, in one line each, what a person waiting
    should know. ``wire``: the number format in which hidden states travel, None: their own.

    Raises UsageError for a malformed address, PeerUnreachable if no initial peer answers, ClockSkew.
    """
    async with open_guest(initial_peers) as peer, trio.open_nursery() as nursery:
        yield SwarmClient(Chains(peer, source, nursery, initial_peers, notice, wire), timeout)
        nursery.cancel_scope.cancel()


def describe_route(hops: Sequence[Hop]) -> str:
    """``0:4 at …abcd → 4:8 at …efgh``, for people."""
    return " → ".join(f"{hop.span} at {short_name(hop.node.peer_id)}" for hop in hops)
