"""A client's chains: what they are chosen by, the books on what they take, and the tasks that run them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence

import trio

from dht import Peer
from routing import Hop, SessionShape, Snapshot
from routing.errors import CacheFull, ChainBroken, NetworkError
from swarm_node.client.books import Hold
from swarm_node.client.chain import Chain
from swarm_node.client.hop import HopStream
from swarm_node.client.router import Router
from swarm_node.client.settings import SNAPSHOT_SECONDS, STALE_SECONDS
from swarm_node.wire import ModelCard, WireDtype, check_model

log = logging.getLogger(__name__)


class Chains:
    """All chains of one client through one swarm of one model.

    Owned by whoever owns ``nursery``, which runs the task of every open chain: its end ends them all. ``notice`` is
    told, in one line each, what a person waiting should know.
    """

    def __init__(
        self,
        peer: Peer,
        card: ModelCard,
        nursery: trio.Nursery,
        initial_peers: Sequence[str],
        notice: Callable[[str], None],
        wire: WireDtype | None = None,
    ) -> None:
        """``wire``: the number format in which hidden states travel, None: their own."""
        self.peer = peer
        self.card = card
        self.notice = notice
        self.wire = wire
        self.router = Router(card.blocks)
        self._nursery = nursery
        self._initial_peers = initial_peers
        self._directory = peer.directory(card.fingerprint)
        self._snapshot: Snapshot | None = None
        self._renewing = False
        self._reading = trio.Lock()

    async def snapshot(self, max_age: float = SNAPSHOT_SECONDS) -> Snapshot:
        """The swarm as it was at most ``max_age`` seconds ago."""
        oldest = time.time() - max_age
        async with self._reading:  # sessions that want the same at the same time share one reading
            if self._snapshot is None or self._snapshot.taken_at < oldest:
                self._snapshot = await self._directory.snapshot()
            return self._snapshot

    async def view(self, max_age: float) -> Snapshot:
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

    async def check_model(self) -> None:
        """Nobody serves some blocks: raise WrongModel if that is because the peers named serve another model."""
        if self._snapshot is not None and self._snapshot.nodes:
            return
        await check_model(self.peer, self.card.name, self.card.fingerprint, self._initial_peers)

    async def start(self, hops: Sequence[Hop], shape: SessionShape, places: Mapping[str, HopStream]) -> Chain:
        """Open a chain of these hops, on the session's places in line where it has one.

        Raises ChainBroken if a hop is unreachable or refuses.
        """
        books = self.router.books
        hold = books.opening(hops, shape)
        chain = Chain(self.peer, self.card, hops, shape, self.router.round_trips, places, self.wire)
        try:
            await self._nursery.start(self._run, chain, hold)
        except BaseException:
            books.refused(hold)
            raise
        books.opened(hold, chain.backlogs, chain.held_tokens)
        return chain

    def avoid(self, failure: ChainBroken) -> None:
        """Route around the peer at fault: for a while if it failed, until it has room if it is only full."""
        if failure.peer_id is None:
            return
        if isinstance(failure.reason, CacheFull):
            self.router.books.full(failure.peer_id, failure.reason.free_tokens)
        elif self.router.failed(failure.peer_id):
            self.notice(f"{failure}; taking another way")

    async def _run(self, chain: Chain, hold: Hold, task_status: trio.TaskStatus[None]) -> None:
        await chain.run(task_status)  # raises only before it has started, and then nothing is to be closed
        self.router.books.closed(hold)

    async def _renew(self) -> None:
        try:
            await self.snapshot()
        except NetworkError as error:
            log.info("could not look at the swarm: %s", error)
        finally:
            self._renewing = False
