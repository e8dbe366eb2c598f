"""A client's view of the swarm: the snapshot it decides on, the peers it avoids, the chains it keeps."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from dht import Identity, Peer, open_peer
from routing import Hop, NodeView, Snapshot, fastest_chain
from routing.errors import BlocksNotCovered, CacheFull, ChainBroken, ContextTooLong
from swarm_node.chain import Chain, short_id
from swarm_node.membership import check_model
from swarm_node.model_source import ModelSource
from swarm_node.session import Session
from swarm_node.settings import (
    ASSUMED_HOP_SECONDS,
    AVOID_BUSY_SECONDS,
    AVOID_FAILED_SECONDS,
    RETRY_SECONDS,
    SNAPSHOT_SECONDS,
)


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
        self._avoided: dict[str, float] = {}
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
                error: BlocksNotCovered | CacheFull | ChainBroken = failure
            except (BlocksNotCovered, CacheFull) as failure:
                await self._check_model()
                error = failure
                if told != str(failure):
                    told = str(failure)
                    self._notice(f"waiting: {told}")
            if trio.current_time() + RETRY_SECONDS >= until:
                raise error
            await trio.sleep(RETRY_SECONDS)
            max_age = 0.0

    def avoid(self, failure: ChainBroken) -> None:
        """Route around the peer at fault for a while: briefly if it is only full."""
        if failure.peer_id is None:
            return
        busy = isinstance(failure.reason, CacheFull)
        self._avoided[failure.peer_id] = trio.current_time() + (AVOID_BUSY_SECONDS if busy else AVOID_FAILED_SECONDS)
        if not busy:
            self._notice(f"{failure}; taking another way")

    def _route(self, snapshot: Snapshot, max_tokens: int) -> tuple[Hop, ...]:
        now = trio.current_time()
        self._avoided = {peer_id: until for peer_id, until in self._avoided.items() if until > now}
        return fastest_chain(snapshot, self.source.blocks, max_tokens, self._hop_seconds, self._avoided)

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
