"""Which way a client's sessions go: from a snapshot, and from what the client itself has met since."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import trio

from routing import Hop, NodeView, SessionShape, Snapshot, fastest_chain
from routing.client.chains import expected_seconds
from routing.client.reuse import fastest_with_reuse, shortened
from routing.errors import BlocksNotCovered, CacheFull
from swarm_node.client.books import Books
from swarm_node.client.round_trips import RoundTrips
from swarm_node.client.served_prefixes import ServedPrefixes
from swarm_node.client.settings import AVOID_FAILED_SECONDS, CHANGE_SECONDS, DOUBT_SECONDS, FRESH_SECONDS, MAX_PLACES
from swarm_node.settings import RECORD_SECONDS


class Place(Protocol):
    """A place in a node's line, as far as routing cares."""

    @property
    def need(self) -> int:
        """Block-tokens that it was asked for."""

    @property
    def room(self) -> bool:
        """Whether the node has set them aside."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """A peer that failed: avoided ``until`` (trio's clock), unless it announced itself after ``at`` (unix seconds)."""

    until: float
    at: float


class Router:
    """One client's judgement, from what it knows beside the records: its books, round trips, peers that failed, and who
    has served the same beginnings before.
    """

    def __init__(self, blocks: int) -> None:
        self.round_trips = RoundTrips()
        self.books = Books()
        self._blocks = blocks
        self._served = ServedPrefixes()
        self._failed: dict[str, _Failed] = {}
        self._rng = random.Random()

    def route(
        self, snapshot: Snapshot, shape: SessionShape, places: Mapping[str, Place] | None = None
    ) -> tuple[Hop, ...]:
        """The fastest chain with room for the session, around the peers that failed. It may be faster than others
        because it has served what the session begins with before.

        A peer that failed but has announced itself since is a last resort. With ``places``, those of a session in line
        by peer id, a node has room for it that has set some aside, or that is free and has no line. Without them it is
        asked of nodes, too, whose word that they are full is old.

        Raises BlocksNotCovered, or CacheFull if the blocks are only busy.
        """
        view = self.books.adjusted(snapshot)
        if places is not None:
            view = replace(view, nodes=tuple(_as_seen_in_line(node, places) for node in view.nodes))
        oldest = time.time() - DOUBT_SECONDS if places is None else -math.inf
        doubted = {node.peer_id for node in view.nodes if self.books.known_at(node) < oldest}

        served = self._served.find(shape.prefix_keys, trio.current_time())

        def fastest(excluded: Collection[str]) -> tuple[Hop, ...]:
            one_way = self.round_trips.one_way
            found = fastest_chain(view, self._blocks, shape, one_way, excluded, self._rng, doubted)
            return fastest_with_reuse(found, served, view, shape, one_way, excluded)

        return self._around_the_failed(snapshot, fastest)

    def second_thoughts(
        self,
        snapshot: Snapshot,
        shape: SessionShape,
        hops: Sequence[Hop],
        backlogs: Mapping[str, int],
        held_tokens: int = 0,
    ) -> tuple[Hop, ...] | None:
        """Another way, if it is worth changing to now that the ``hops`` of an open chain have told what is ahead.

        ``backlogs`` are block-tokens by peer id, without this session's own prompt, of which all hops hold the first
        ``held_tokens`` already.
        """
        view = self.books.adjusted(snapshot)
        told = {
            node.peer_id: replace(node, backlog_tokens=backlogs.get(node.peer_id, node.backlog_tokens))
            for node in view.nodes
        }
        here = [Hop(told.get(hop.node.peer_id, hop.node), hop.span) for hop in hops]
        one_way = self.round_trips.one_way
        try:
            there = fastest_chain(replace(view, nodes=tuple(told.values())), self._blocks, shape, one_way, self._failed)
        except (BlocksNotCovered, CacheFull):
            return None
        gain = expected_seconds(here, shortened(shape, held_tokens), one_way) - expected_seconds(there, shape, one_way)
        return there if gain > CHANGE_SECONDS + 2 * max(one_way(hop.node) for hop in there) else None

    def lines(self, snapshot: Snapshot, shape: SessionShape, left: Collection[str] = ()) -> tuple[Hop, ...]:
        """Where a session waits when nothing is free: the nodes of all chains that might serve it, the fastest first.

        Each with the blocks that the first of these chains would use there; at most MAX_PLACES nodes unless one chain
        has more; none if the session is too long for every chain. ``left`` are peer ids not to wait at.

        Raises BlocksNotCovered if no chain leads around them and around the peers that failed.
        """

        def nearest(excluded: Collection[str]) -> tuple[Hop, ...]:
            return self._disjoint(snapshot, shape, {*excluded, *left})

        return self._around_the_failed(snapshot, nearest)

    def served(self, hops: Sequence[Hop], prefix_keys: bytes) -> None:
        """The chain has computed the beginning that the keys name."""
        self._served.remember(prefix_keys, hops, trio.current_time())

    def failed(self, peer_id: str) -> bool:
        """Avoid the peer for a while; False if it was avoided already."""
        known = peer_id in self._failed
        self._failed[peer_id] = _Failed(trio.current_time() + AVOID_FAILED_SECONDS, time.time())
        return not known

    def avoided(self) -> frozenset[str]:
        """Peers that failed lately, by id."""
        now = trio.current_time()
        return frozenset(peer_id for peer_id, failed in self._failed.items() if failed.until > now)

    def _around_the_failed(
        self, snapshot: Snapshot, find: Callable[[Collection[str]], tuple[Hop, ...]]
    ) -> tuple[Hop, ...]:
        now = trio.current_time()
        self._failed = {peer_id: failed for peer_id, failed in self._failed.items() if failed.until > now}
        try:
            return find(self._failed)
        except (BlocksNotCovered, CacheFull):
            back = {
                node.peer_id
                for node in snapshot.nodes
                if node.peer_id in self._failed
                and node.expires_at > self._failed[node.peer_id].at + RECORD_SECONDS + FRESH_SECONDS
            }
            if not back:
                raise
            return find(self._failed.keys() - back)

    def _disjoint(self, snapshot: Snapshot, shape: SessionShape, excluded: Collection[str]) -> tuple[Hop, ...]:
        """Chains that could all be full of such sessions at the same time, the fastest first: greedily, as in GCA."""
        empty = {node.peer_id: replace(node, free_tokens=node.cache_tokens) for node in snapshot.nodes}
        found: dict[str, Hop] = {}
        for _ in range(MAX_PLACES):
            left = replace(snapshot, nodes=tuple(empty.values()))
            try:
                hops = fastest_chain(left, self._blocks, shape, self.round_trips.one_way, excluded)
            except CacheFull:
                break
            new = {hop.node.peer_id: hop for hop in hops if hop.node.peer_id not in found}
            if found and len(found) + len(new) > MAX_PLACES:
                break
            found |= new
            needs = [hop.node.session_tokens(shape.max_tokens, len(hop.span)) for hop in hops]
            sessions = min(hop.node.free_tokens // need for hop, need in zip(hops, needs, strict=True))
            for hop, need in zip(hops, needs, strict=True):
                taken = sessions * need
                empty[hop.node.peer_id] = replace(hop.node, free_tokens=hop.node.free_tokens - taken)
        return tuple(found.values())


def _as_seen_in_line(node: NodeView, places: Mapping[str, Place]) -> NodeView:
    place = places.get(node.peer_id)
    if place is None:
        return node if not node.waiting else replace(node, free_tokens=0)
    # What was set aside is for the blocks it asked for; there may be more.
    return replace(node, free_tokens=max(place.need, node.free_tokens) if place.room else 0)
