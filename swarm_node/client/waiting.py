"""A session that waits for a chain: in line at every node that might serve it, woken by whichever has room."""

from __future__ import annotations

import logging
import random

import trio

from dht.nursery import open_owner_nursery
from routing import Hop, SessionShape, Snapshot
from routing.errors import BlocksNotCovered, CacheFull, ChainBroken, NetworkError
from swarm_node.client.chain import Chain
from swarm_node.client.chains import Chains
from swarm_node.client.hop import HopState, HopStream
from swarm_node.client.settings import (
    NOTICE_SECONDS,
    PATIENCE_SECONDS,
    REFUSED_SECONDS,
    SNAPSHOT_SECONDS,
    WAITING_SNAPSHOT_SECONDS,
)
from swarm_node.wire import Wait

log = logging.getLogger(__name__)


async def wait_in_line(chains: Chains, shape: SessionShape, since: float, until: float) -> Chain:
    """The first chain that has room for the session, which has waited ``since`` (unix seconds).

    No stream and no task outlives the wait. Raises CacheFull when there was no room ``until`` (trio's clock), and
    BlocksNotCovered when the nodes that serve some blocks have gone.
    """
    chain: Chain | None = None
    try:
        with trio.move_on_at(until):
            async with open_owner_nursery() as nursery:
                chain = await _Wait(chains, shape, since, nursery).chain()
    except BaseException:
        if chain is not None:
            chain.abandon()
        raise
    if chain is None:
        raise CacheFull(f"every chain is full: no room for a session of {shape.max_tokens} tokens; try again later")
    return chain


class _Wait:
    """One wait; its nursery runs the places in line."""

    def __init__(self, chains: Chains, shape: SessionShape, since: float, nursery: trio.Nursery) -> None:
        self._chains = chains
        self._shape = shape
        self._since = since
        self._nursery = nursery
        self._snapshot: Snapshot | None = None
        self._places: dict[str, HopStream] = {}
        self._lines: tuple[Hop, ...] = ()
        """Where it should stand."""
        self._left: set[str] = set()
        """Peers that have sent this session away since the snapshot was read."""
        self._woken = trio.Event()
        self._stale = True
        """Somebody has come or gone, so that it should perhaps stand elsewhere."""
        self._began_at = trio.current_time()
        self._told = ""
        self._told_at = float("-inf")

    async def chain(self) -> Chain:
        """Wait until a chain is open."""
        self._snapshot = await self._chains.snapshot(SNAPSHOT_SECONDS)
        self._stand()
        self._nursery.start_soon(self._look)
        while True:
            chain = await self._try()
            if chain is not None:
                return chain
            self._tell()
            await self._woken.wait()
            self._woken = trio.Event()
            if self._stale or any(not place.standing for place in self._places.values()):
                self._stand()

    async def _try(self) -> Chain | None:
        """Open the fastest chain of nodes with room; None if there is none, or if it was refused."""
        assert self._snapshot is not None
        try:
            hops = self._chains.router.route(self._snapshot, self._shape, self._places)
        except (BlocksNotCovered, CacheFull):
            return None
        try:
            return await self._chains.start(hops, self._shape, self._places)
        except ChainBroken as failure:
            self._chains.avoid(failure)
        # Sessions that want the same nodes and were refused by each other must not come back at the same moment.
        await trio.sleep(random.uniform(0, REFUSED_SECONDS))
        self._wake()
        return None

    def _stand(self) -> None:
        """Be in line wherever the session might be served; at nodes that refused it, again and with its old place."""
        assert self._snapshot is not None
        for peer_id, place in list(self._places.items()):
            if not place.standing:
                del self._places[peer_id]
                self._judge(peer_id, place)
        if self._stale:
            self._lines = self._best_lines(self._snapshot)
            self._stale = False
        wanted = {hop.node.peer_id: hop for hop in self._lines}
        for peer_id in self._places.keys() - wanted.keys():
            self._places.pop(peer_id).leave()
        for peer_id in wanted.keys() - self._places.keys():
            hop = wanted[peer_id]
            asking = Wait(
                model=self._chains.card.fingerprint,
                start=hop.span.start,
                end=hop.span.end,
                max_tokens=self._shape.max_tokens,
                since=self._since,
            )
            place = HopStream(self._chains.peer, hop.node, self._chains.router.round_trips, asking)
            self._places[peer_id] = place
            self._nursery.start_soon(place.stand, self._wake)

    def _best_lines(self, snapshot: Snapshot) -> tuple[Hop, ...]:
        router = self._chains.router
        try:
            return router.lines(snapshot, self._shape, self._left)
        except BlocksNotCovered:
            if not self._left:
                raise
        # Some blocks are served only where this session was sent away: a newer snapshot may say more.
        return tuple(hop for hop in router.lines(snapshot, self._shape) if hop.node.peer_id not in self._left)

    def _judge(self, peer_id: str, place: HopStream) -> None:
        """Why is it in line no more? A place that was given up for a chain in vain is taken again."""
        if place.failure is None or (place.state is HopState.ENDED and not isinstance(place.failure, NetworkError)):
            return
        self._stale = True
        if isinstance(place.failure, NetworkError):
            log.info("node %s is gone: %s", peer_id, place.failure)
            self._chains.router.failed(peer_id)
        else:
            log.info("no place in line at node %s: %s", peer_id, place.failure)
            self._left.add(peer_id)
            if isinstance(place.failure, CacheFull):
                self._chains.router.books.full(peer_id, place.failure.free_tokens)

    async def _look(self) -> None:
        """See from time to time who has come or gone, and whether it is time to tell who looks on."""
        await trio.sleep(PATIENCE_SECONDS)
        self._wake()
        while True:
            await trio.sleep(WAITING_SNAPSHOT_SECONDS * random.uniform(0.5, 1.5))
            try:
                self._snapshot = await self._chains.snapshot(SNAPSHOT_SECONDS)
            except NetworkError as error:
                log.info("could not look at the swarm: %s", error)
                continue
            self._left.clear()
            self._stale = True
            self._wake()

    def _tell(self) -> None:
        now = trio.current_time()
        if now < self._began_at + PATIENCE_SECONDS or now < self._told_at + NOTICE_SECONDS:
            return
        ahead = max((place.ahead or 0 for place in self._places.values()), default=0)
        sessions = {0: "no session is", 1: "one session is"}.get(ahead, f"{ahead} sessions are")
        text = f"waiting: every chain is full; {sessions} before this one"
        if text != self._told:
            self._told, self._told_at = text, now
            self._chains.notice(text)

    def _wake(self) -> None:
        self._woken.set()
