"""A node's eyes on the swarm: it reads the directory, finds its place in the network, and sees when to move."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from functools import partial

import trio

from dht import Directory, Peer
from routing import NodeView, Snapshot
from routing.errors import NetworkError, SwarmError
from routing.moves import Move
from routing.self_placement import Model, next_move
from swarm_node.measured_network import bandwidth, round_trip
from swarm_node.own_view import OwnView
from swarm_node.settings import FIRST_MEASURED_PEERS, LOAD_SECONDS, LOOK_SECONDS, MEASURED_PEERS, REMEMBERED_PEERS
from swarm_node.tasks import in_thread

log = logging.getLogger(__name__)


class Lookout:
    """What one node learns of the others while it serves; owned by the node, ends with the task that calls it."""

    def __init__(self, peer: Peer, directory: Directory, model: Model, own: OwnView) -> None:
        self.snapshot = Snapshot(directory.model, (), 0.0)
        """The last one that was read."""
        self._peer = peer
        self._directory = directory
        self._model = model
        self._own = own
        self._looked = False
        self._round_trips: dict[str, float] = {}
        """The last measured, in seconds, by peer id; the oldest first."""

    async def next_move(self) -> Move:
        """Watch until this node should host other blocks."""
        while True:
            # Nodes that started together must not all look together.
            await trio.sleep(LOOK_SECONDS * random.uniform(0.5, 1.5))
            before = self.snapshot
            try:
                self.snapshot = await self._directory.snapshot()
            except NetworkError as error:
                log.info("could not look at the swarm: %s", error)
                continue
            await self._measure()
            decision = await in_thread(
                partial(next_move, self.snapshot, before, self._own.now, self._model, LOAD_SECONDS, time.time())
            )
            if isinstance(decision, Move):
                return decision
            log.debug("staying: %s", decision.reason)

    async def _measure(self) -> None:
        """Round trips to a few peers, which place this node among them; and at the first look, bandwidth to one."""
        others = [node for node in self.snapshot.online() if node.peer_id != self._peer.peer_id]
        for node in random.sample(others, min(len(others), MEASURED_PEERS if self._looked else FIRST_MEASURED_PEERS)):
            try:
                seconds = await round_trip(self._peer, node)
            except SwarmError as error:
                log.debug("no round trip to %s: %s", node.peer_id, error)
                continue
            self._round_trips.pop(node.peer_id, None)
            self._round_trips[node.peer_id] = seconds
        while len(self._round_trips) > REMEMBERED_PEERS:
            del self._round_trips[next(iter(self._round_trips))]
        self._find_place(others)
        if others and not self._looked:
            self._looked = True
            await self._measure_bandwidth(random.choice(others))

    def _find_place(self, others: Sequence[NodeView]) -> None:
        """The peers move too: each look takes all round trips into account once more."""
        here = self._own.now.coordinate
        for node in others:
            seconds = self._round_trips.get(node.peer_id)
            if seconds is not None:
                here = here.after(node.coordinate, seconds)
        self._own.update(coordinate=here)

    async def _measure_bandwidth(self, node: NodeView) -> None:
        try:
            measured = await bandwidth(self._peer, node)
        except SwarmError as error:
            log.debug("no bandwidth to %s: %s", node.peer_id, error)
            return
        self._own.update(upload_rate=measured.upload_rate, download_rate=measured.download_rate)
