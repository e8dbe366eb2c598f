"""A node's eyes on the swarm: it reads the directory, finds its place in the network, and sees when to move."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Sequence
from functools import partial

import trio

from dht import Directory, Peer
from routing import NodeView, Snapshot
from routing.errors import NetworkError, SwarmError
from routing.node.moves import Move, Stay
from routing.node.self_placement import Model, next_move
from swarm_node.node.link import bandwidth, round_trip
from swarm_node.node.roll_call import RollCall
from swarm_node.node.settings import FIRST_MEASURED_PEERS, LOAD_SECONDS, LOOK_SECONDS, MEASURED_PEERS, REMEMBERED_PEERS
from swarm_node.node.view import OwnView
from swarm_node.tasks import in_thread

log = logging.getLogger(__name__)


class Lookout:
    """What one node learns of the others while it serves; owned by the node, ends with the task that calls it."""

    def __init__(self, peer: Peer, directory: Directory, model: Model, own: OwnView) -> None:
        self.snapshot = Snapshot(directory.model, (), 0.0)
        """The last one that was read, without nodes that are known to be gone."""
        self._peer = peer
        self._directory = directory
        self._model = model
        self._own = own
        self._roll_call = RollCall(peer, model.blocks)
        self._next_look = -math.inf
        self._measured = False
        self._measured_at: dict[str, float] = {}
        """When it was last tried to measure the way to a peer, by its id."""
        self._round_trips: dict[str, float] = {}
        """The last measured, in seconds, by peer id; the oldest first."""

    async def next_move(self) -> Move:
        """Watch until this node should host other blocks."""
        if self._next_look < trio.current_time():
            # Nodes that started or moved together must not all look together.
            self._next_look = trio.current_time() + LOOK_SECONDS * random.random()
        while True:
            await trio.sleep_until(self._next_look)
            self._next_look = trio.current_time() + LOOK_SECONDS
            decision = await self._look()
            if isinstance(decision, Move):
                return decision
            log.debug("staying: %s", decision.reason)
            # A silent peer must not hold up the next look; only at the first one there is much to measure.
            with trio.move_on_at(self._next_look if self._measured else math.inf):
                await self._measure()

    async def _look(self) -> Stay | Move:
        try:
            read = await self._directory.snapshot()
            gone = await self._roll_call.gone(read, self._own.now)
        except NetworkError as error:
            log.info("could not look at the swarm: %s", error)
            return Stay("it does not see the others")
        before, self.snapshot = self.snapshot, read.without(gone)
        return await in_thread(
            partial(next_move, read, before, self._own.now, self._model, LOAD_SECONDS, time.time(), gone)
        )

    async def _measure(self) -> None:
        """Round trips to a few peers, which place this node among them; and at the first look, bandwidth to one."""
        others = [node for node in self.snapshot.online() if node.peer_id != self._peer.peer_id]
        for node in self._next_measured(others):
            try:
                seconds = await round_trip(self._peer, node)
            except SwarmError as error:
                log.debug("no round trip to %s: %s", node.peer_id, error)
                continue
            self._roll_call.reached(node.peer_id)
            self._round_trips.pop(node.peer_id, None)
            self._round_trips[node.peer_id] = seconds
        while len(self._round_trips) > REMEMBERED_PEERS:
            del self._round_trips[next(iter(self._round_trips))]
        self._find_place(others)
        if others and not self._measured:
            self._measured = True
            await self._measure_bandwidth(random.choice(others))

    def _next_measured(self, others: Sequence[NodeView]) -> list[NodeView]:
        """All have their turn, so that in the end this node has reached everybody whom it can reach."""
        count = MEASURED_PEERS if self._measured else FIRST_MEASURED_PEERS
        last = {node.peer_id: self._measured_at.get(node.peer_id, -math.inf) for node in others}
        chosen = sorted(random.sample(others, len(others)), key=lambda node: last[node.peer_id])[:count]
        self._measured_at = last | {node.peer_id: trio.current_time() for node in chosen}
        return chosen

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
