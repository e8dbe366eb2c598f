"""A client's place in the swarm: the snapshot it decides on, the chains it opens, and how it waits for one."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from dht import Identity, Peer, open_peer
from routing import Hop, SessionShape, Snapshot
from routing.errors import (
    BlocksNotCovered,
    CacheFull,
    ChainBroken,
    ContextTooLong,
    NetworkError,
    PeerSilent,
    SwarmError,
)
from swarm_node.client.chain import Chain, short_id
from swarm_node.client.router import Hold, Router
from swarm_node.client.session import Session
from swarm_node.client.settings import CHAINS_TRIED, REFUSALS, RETRY_SECONDS, SNAPSHOT_SECONDS, STALE_SECONDS
from swarm_node.client.ticket import Ticket
from swarm_node.client.waiting import wait_in_line
from swarm_node.wire import ModelCard, WireDtype, check_model

log = logging.getLogger(__name__)


class SwarmClient:
    """Opens chains through one swarm of one model.

    Owned by ``open_client``; its nursery runs the task of every open chain, and closing it ends them all.
    ``notice`` is told, in one line each, what a person waiting should know.
    """

    def __init__(
        self,
        peer: Peer,
        source: ModelCard,
        nursery: trio.Nursery,
        initial_peers: Sequence[str],
        timeout: float,
        notice: Callable[[str], None],
        wire: WireDtype | None = None,
    ) -> None:
        """``wire``: the number format in which hidden states travel, None: their own."""
        self.wire = wire
        self.source = source
        self.timeout = timeout
        self.peer = peer
        self.notice = notice
        self.router = Router(source.blocks)
        self._nursery = nursery
        self._initial_peers = initial_peers
        self._directory = peer.directory(source.fingerprint)
        self._snapshot: Snapshot | None = None
        self._renewing = False
        self._reading = trio.Lock()

    def open_session(self, max_tokens: int) -> Session:
        """A new sequence of at most ``max_tokens``; it takes a chain at its first step."""
        limit = self.source.context_length
        if limit is not None and max_tokens > limit:
            raise ContextTooLong(f"{max_tokens} tokens (prompt and new ones) exceed the model's context of {limit}")
        return Session(self, max_tokens)

    async def snapshot(self, max_age: float = SNAPSHOT_SECONDS) -> Snapshot:
        """The swarm as it was at most ``max_age`` seconds ago."""
        oldest = time.time() - max_age
        async with self._reading:  # sessions that want the same at the same time share one reading
            if self._snapshot is None or self._snapshot.taken_at < oldest:
                self._snapshot = await self._directory.snapshot()
            return self._snapshot

    async def _view(self, max_age: float) -> Snapshot:
        """Like snapshot(); but one that is only a little too old is used once more, while it is read anew.

        Nodes are the authority on what is free, and a session should not wait for a reading that changes little.
        """
        age = self._snapshot.age(time.time()) if self._snapshot is not None else math.inf
        if max_age == 0 or not max_age < age <= max_age + STALE_SECONDS:
            return await self.snapshot(max_age)
        assert self._snapshot is not None
        if not self._renewing:
            self._renewing = True
            self._nursery.start_soon(self._renew)
        return self._snapshot

    async def _renew(self) -> None:
        try:
            await self.snapshot()
        except NetworkError as error:
            log.info("could not look at the swarm: %s", error)
        finally:
            self._renewing = False

    async def current_swarm(self) -> Snapshot:
        """The swarm as it is now. Raises WrongModel if it is empty because the peers serve another model."""
        snapshot = await self.snapshot(max_age=0.0)
        await self._check_model()
        return snapshot

    async def open_chain(self, shape: SessionShape, until: float, since: float | None = None) -> Chain:
        """The fastest free chain for a session; waits for one, in line where there is none, until ``until``.

        ``until`` is of trio's clock. A session that has waited already, ``since`` (unix seconds), goes in line at once.
        Raises BlocksNotCovered or CacheFull if there is no chain by then, WrongModel if the peers serve another model.
        """
        told = ""
        waiting_since = since
        max_age = SNAPSHOT_SECONDS
        while True:
            try:
                if since is None:
                    try:
                        return await self._open_free(await self._view(max_age), shape, until)
                    except CacheFull:
                        if trio.current_time() >= until:
                            raise
                waiting_since = waiting_since or time.time()
                return await wait_in_line(self, shape, waiting_since, until)
            except PeerSilent as failure:
                error: SwarmError = failure
            except BlocksNotCovered as failure:
                await self._check_model()
                error = failure
            if trio.current_time() + RETRY_SECONDS >= until:
                raise error
            if told != str(error):
                told = str(error)
                self.notice(f"waiting: {told}")
            # Clients that wait for the same place must not all ask at the same moment.
            await trio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))
            max_age = 0.0

    async def start(self, hops: Sequence[Hop], shape: SessionShape, tickets: Mapping[str, Ticket]) -> Chain:
        """Open a chain of these hops, on the session's places in line where it has one.

        It lives in this client's nursery. Raises ChainBroken if a hop is unreachable or refuses.
        """
        hold = self.router.opening(hops, shape)
        model, round_trips = self.source, self.router.round_trips
        chain = Chain(self.peer, model.fingerprint, hops, shape, model.hidden_size, round_trips, tickets, self.wire)
        try:
            await self._nursery.start(self._run, chain, hold)
        except BaseException:
            self.router.refused(hold)
            raise
        self.router.opened(hold, chain.backlogs, chain.held_tokens)
        return chain

    def avoid(self, failure: ChainBroken) -> None:
        """Route around the peer at fault: for a while if it failed, until it has room if it is only full."""
        if failure.peer_id is None:
            return
        if isinstance(failure.reason, CacheFull):
            self.router.full(failure.peer_id, failure.reason.free_tokens)
        elif self.router.failed(failure.peer_id):
            self.notice(f"{failure}; taking another way")

    async def _open_free(self, snapshot: Snapshot, shape: SessionShape, until: float) -> Chain:
        """The fastest chain with room; the next one as long as nodes refuse, until all are known to be full."""
        refusals = 0
        for _ in range(CHAINS_TRIED):
            hops = self.router.route(snapshot, shape)
            try:
                chain = await self.start(hops, shape, {})
            except ChainBroken as failure:
                self.avoid(failure)
                if trio.current_time() >= until:
                    raise
                refusals += isinstance(failure.reason, CacheFull)
                if refusals == REFUSALS:
                    break
                continue
            return await self._reconsidered(chain, snapshot, shape)
        raise CacheFull("every chain is full: nodes refuse more sessions for now; try again later")

    async def _reconsidered(self, chain: Chain, snapshot: Snapshot, shape: SessionShape) -> Chain:
        """The chain, or another that is faster, since more prompts are ahead at its hops than their records said."""
        hops = self.router.second_thoughts(snapshot, shape, chain.hops, chain.backlogs, chain.held_tokens)
        if hops is None:
            return chain
        try:
            faster = await self.start(hops, shape, {})
        except ChainBroken as failure:
            self.avoid(failure)
            return chain
        except BaseException:
            chain.abandon()
            raise
        chain.abandon()
        return faster

    async def _run(self, chain: Chain, hold: Hold, task_status: trio.TaskStatus[None]) -> None:
        await chain.run(task_status)  # raises only before it has started, and then nothing is to be closed
        self.router.closed(hold)

    async def _check_model(self) -> None:
        """Tell 'nobody serves it yet' from 'you asked for another model than this swarm serves'."""
        if self._snapshot is not None and self._snapshot.nodes:
            return
        await check_model(self.peer, self.source.name, self.source.fingerprint, self._initial_peers)


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

    Raises UsageError for a malformed address, PeerUnreachable if no initial peer answers, ClockSkew.
    """
    with TemporaryDirectory(prefix="swarm-client-") as directory:
        identity = Identity.load_or_create(Path(directory) / "identity.key")
        async with (
            open_peer(identity, initial_peers=initial_peers, client_only=True) as peer,
            trio.open_nursery() as nursery,
        ):
            yield SwarmClient(peer, source, nursery, initial_peers, timeout, notice, wire)
            nursery.cancel_scope.cancel()


def describe_route(hops: Sequence[Hop]) -> str:
    """``0:4 at …abcd → 4:8 at …efgh``, for people."""
    return " → ".join(f"{hop.span} at …{short_id(hop.node.peer_id)}" for hop in hops)
