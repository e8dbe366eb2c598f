"""A client's view of the swarm: the snapshot it decides on, the peers it avoids, the chains it keeps."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from dht import Identity, Peer, open_peer
from routing import Hop, NodeView, Snapshot, fastest_chain
from routing.errors import BlocksNotCovered, CacheFull, ChainBroken, ContextTooLong, PeerSilent, SwarmError
from swarm_node.chain import Chain, short_id
from swarm_node.membership import check_model
from swarm_node.model_source import ModelSource
from swarm_node.session import Session
from swarm_node.settings import (
    ASSUMED_HOP_SECONDS,
    AVOID_BUSY_SECONDS,
    AVOID_FAILED_SECONDS,
    FRESH_SECONDS,
    RECORD_SECONDS,
    RETRY_SECONDS,
    SNAPSHOT_SECONDS,
)


@dataclass(frozen=True, slots=True)
class _Failed:
    """A peer that failed: avoided ``until`` (trio's clock), unless it announced itself after ``at`` (unix seconds)."""

    until: float
    at: float


class SwarmClient:
    """Opens chains through one swarm of one model.

    Owned by ``open_client``; its nursery runs the task of every open chain, and closing it ends them all.
    ``notice`` is told, in one line each, what a person waiting should know.
    """

    def __init__(
        self,
        peer: Peer,
        source: ModelSource,
        nursery: trio.Nursery,
        initial_peers: Sequence[str],
        timeout: float,
        notice: Callable[[str], None],
    ) -> None:
        self.source = source
        self.timeout = timeout
        self._peer = peer
        self._nursery = nursery
        self._initial_peers = initial_peers
        self._notice = notice
        self._directory = peer.directory(source.fingerprint)
        self._snapshot: Snapshot | None = None
        self._busy: dict[str, float] = {}
        """Full peers, and until when (trio's clock) not to ask them."""
        self._failed: dict[str, _Failed] = {}
        self._rtts: dict[str, float] = {}

    def open_session(self, max_tokens: int) -> Session:
        """A new sequence of at most ``max_tokens``; it takes a chain at its first step."""
        limit = self.source.context_length
        if limit is not None and max_tokens > limit:
            raise ContextTooLong(f"{max_tokens} tokens (prompt and new ones) exceed the model's context of {limit}")
        return Session(self, max_tokens)

    async def snapshot(self, max_age: float = SNAPSHOT_SECONDS) -> Snapshot:
        """The swarm as it was at most ``max_age`` seconds ago."""
        if self._snapshot is None or self._snapshot.age(time.time()) > max_age:
            self._snapshot = await self._directory.snapshot()
        return self._snapshot

    async def current_swarm(self) -> Snapshot:
        """The swarm as it is now. Raises WrongModel if it is empty because the peers serve another model."""
        snapshot = await self.snapshot(max_age=0.0)
        await self._check_model()
        return snapshot

    async def open_chain(self, max_tokens: int, until: float) -> Chain:
        """The fastest free chain for a session of ``max_tokens``; waits for one until ``until`` (trio's clock).

        Raises BlocksNotCovered or CacheFull if there is none by then, WrongModel if the peers serve another model.
        """
        told = ""
        max_age = SNAPSHOT_SECONDS
        while True:
            try:
                hops = self._route(await self.snapshot(max_age), max_tokens)
                return await self._start(hops, max_tokens)
            except ChainBroken as failure:
                self.avoid(failure)
                if trio.current_time() < until:
                    continue  # another way may be free now
                raise
            except PeerSilent as failure:
                error: SwarmError = failure
            except (BlocksNotCovered, CacheFull) as failure:
                await self._check_model()
                error = failure
            if told != str(error):
                told = str(error)
                self._notice(f"waiting: {told}")
            if trio.current_time() + RETRY_SECONDS >= until:
                raise error
            # Clients that wait for the same place must not all ask at the same moment.
            await trio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))
            max_age = 0.0

    def avoid(self, failure: ChainBroken) -> None:
        """Route around the peer at fault for a while: briefly if it is only full."""
        if failure.peer_id is None:
            return
        now = trio.current_time()
        if isinstance(failure.reason, CacheFull):
            self._busy[failure.peer_id] = now + AVOID_BUSY_SECONDS
            return
        if failure.peer_id not in self._failed:
            self._notice(f"{failure}; taking another way")
        self._failed[failure.peer_id] = _Failed(now + AVOID_FAILED_SECONDS, time.time())

    def _route(self, snapshot: Snapshot, max_tokens: int) -> tuple[Hop, ...]:
        """The fastest chain around the peers to avoid; one that failed but has announced itself since is a last resort.

        Raises BlocksNotCovered, or CacheFull if the blocks are only busy.
        """
        now = trio.current_time()
        self._busy = {peer_id: until for peer_id, until in self._busy.items() if until > now}
        self._failed = {peer_id: failed for peer_id, failed in self._failed.items() if failed.until > now}

        def route(excluded: Collection[str]) -> tuple[Hop, ...]:
            return fastest_chain(snapshot, self.source.blocks, max_tokens, self._hop_seconds, excluded)

        try:
            return route({*self._busy, *self._failed})
        except (BlocksNotCovered, CacheFull):
            back = {
                node.peer_id
                for node in snapshot.nodes
                if node.peer_id in self._failed
                and node.expires_at > self._failed[node.peer_id].at + RECORD_SECONDS + FRESH_SECONDS
            }
            if back:
                return route({*self._busy, *self._failed} - back)
            if self._busy:
                route(self._failed)
                raise CacheFull("every chain is full: nodes refuse more sessions for now; try again later") from None
            raise

    def _hop_seconds(self, node: NodeView) -> float:
        return self._rtts.get(node.peer_id, ASSUMED_HOP_SECONDS)

    async def _start(self, hops: tuple[Hop, ...], max_tokens: int) -> Chain:
        chain = Chain(self._peer, self.source.fingerprint, hops, max_tokens, self.source.hidden_size, self._rtts)
        await self._nursery.start(chain.run)
        return chain

    async def _check_model(self) -> None:
        """Tell 'nobody serves it yet' from 'you asked for another model than this swarm serves'."""
        if self._snapshot is not None and self._snapshot.nodes:
            return
        await check_model(self._peer, self.source.name, self.source.fingerprint, self._initial_peers)


@asynccontextmanager
async def open_client(
    source: ModelSource,
    initial_peers: Sequence[str],
    *,
    timeout: float,
    notice: Callable[[str], None],
) -> AsyncIterator[SwarmClient]:
    """Join the swarm as a client under a throw-away identity; leave it, with every session closed, at the end.

    Raises UsageError for a malformed address, PeerUnreachable if no initial peer answers, ClockSkew.
    """
    with TemporaryDirectory(prefix="swarm-client-") as directory:
        identity = Identity.load_or_create(Path(directory) / "identity.key")
        async with (
            open_peer(identity, initial_peers=initial_peers, client_only=True) as peer,
            trio.open_nursery() as nursery,
        ):
            yield SwarmClient(peer, source, nursery, initial_peers, timeout, notice)
            nursery.cancel_scope.cancel()


def describe_route(hops: Sequence[Hop]) -> str:
    """``0:4 at …abcd → 4:8 at …efgh``, for people."""
    return " → ".join(f"{hop.span} at …{short_id(hop.node.peer_id)}" for hop in hops)
