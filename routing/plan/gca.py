"""Greedy cache allocation: which chains a placement gives, and how many jobs each may hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from routing.plan.cluster import Chain, Link, ModelShape, Server, cache_slots
from routing.span import Span

_UNREACHED = np.inf


def gca(servers: Sequence[Server], model: ModelShape, spans: Sequence[Span | None]) -> tuple[Chain, ...]:
    """All chains that join-the-fastest-free-chain ever needs, fastest first (arXiv 2604.14993, Algorithm 2, Theorem 3).

    ``spans`` are the blocks each server hosts, None for none. The fastest chain takes all the cache it can, then the
    next fastest of what is left, until no chain fits; empty if there is none at all.

    A server once entered is used to its end, so what a chain costs so far depends only on the boundary between blocks
    it has reached. The servers that lead from one boundary to another are kept in order of cost, and since cache is
    only ever taken, one that no longer fits is dropped for good. A chain is then found in O(L²) whatever the number
    of servers, against the O(J²) of a shortest path over servers.
    """
    graph = _BoundaryGraph(servers, model, spans)
    chains: list[Chain] = []
    while (links := graph.fastest()) is not None:
        seconds = graph.seconds()
        chains.append(Chain(links, seconds, graph.fill(links)))
    return tuple(chains)


class _BoundaryGraph:
    """Boundaries 0..L between blocks; the link from one to a later one is the fastest server with cache for it."""

    def __init__(self, servers: Sequence[Server], model: ModelShape, spans: Sequence[Span | None]) -> None:
        blocks = model.blocks
        self._blocks = blocks
        self._servers = servers
        self._spans = spans
        self._slots = [
            0 if span is None else cache_slots(server, model, len(span))
            for server, span in zip(servers, spans, strict=True)
        ]
        self._waiting = self._servers_by_cost()
        # By [end][start], so that the ways to reach one boundary lie together.
        self._cost = np.full((blocks + 1, blocks + 1), _UNREACHED)
        self._best = [[-1] * end for end in range(blocks + 1)]
        self._reached = np.full(blocks + 1, _UNREACHED)
        self._reached[0] = 0.0
        self._came_from = [0] * (blocks + 1)
        # Slicing anew for every boundary of every chain would take longer than the sums themselves.
        self._reached_before = [self._reached[:end] for end in range(blocks + 1)]
        self._cost_to = [self._cost[end, :end] for end in range(blocks + 1)]
        self._links: dict[tuple[int, int], Link] = {}
        self._ends = sorted({end for end, _ in self._waiting})
        for end, start in self._waiting:
            self._take_next(end, start)
        self._update(stale=set(self._ends))

    def fastest(self) -> tuple[Link, ...] | None:
        """The fastest chain that still fits; None if there is none."""
        if self._reached[self._blocks] == _UNREACHED:
            return None
        links: list[Link] = []
        end = self._blocks
        while end > 0:
            start = self._came_from[end]
            links.append(self._link(start, end))
            end = start
        links.reverse()
        return tuple(links)

    def _link(self, start: int, end: int) -> Link:
        """The cheapest way between two boundaries; made once, since chains share them."""
        server = self._best[end][start]
        link = self._links.get((server, start))
        if link is None:
            link = self._links[server, start] = Link(server, Span(start, end))
        return link

    def seconds(self) -> float:
        return float(self._reached[self._blocks])

    def fill(self, links: tuple[Link, ...]) -> int:
        """Take all the cache that the chain can use, and drop the links that no longer fit; gives its capacity."""
        capacity = min(self._slots[link.server] // len(link.span) for link in links)
        stale: set[int] = set()
        for link in links:
            server, end = link.server, link.span.end
            self._slots[server] -= capacity * len(link.span)
            span = self._spans[server]
            assert span is not None, "a server on a chain hosts blocks"
            best, came_from = self._best[end], self._came_from[end]
            for start in range(span.start, end - self._slots[server]):
                if best[start] == server:
                    self._take_next(end, start)
                    if came_from == start:
                        stale.add(end)
        self._update(stale)
        return capacity

    def _servers_by_cost(self) -> dict[tuple[int, int], list[int]]:
        """For each (end, start) the servers that lead there, the cheapest last; ties go to the first server."""
        boundaries = {0, *(span.end for span in self._spans if span is not None)}
        ends: list[int] = []
        starts: list[int] = []
        indices: list[int] = []
        for index, span in enumerate(self._spans):
            if span is None:
                continue
            longest = min(len(span), self._slots[index])
            for start in range(span.end - longest, span.end):
                if start in boundaries:
                    ends.append(span.end)
                    starts.append(start)
                    indices.append(index)
        costs = [
            self._servers[index].job_seconds(end - start)
            for index, end, start in zip(indices, ends, starts, strict=True)
        ]
        ways: dict[tuple[int, int], list[int]] = {}
        for position in np.lexsort((-np.array(indices, dtype=int), -np.array(costs))):
            ways.setdefault((ends[position], starts[position]), []).append(indices[position])
        return ways

    def _take_next(self, end: int, start: int) -> None:
        """Put the cheapest server that still fits between two boundaries."""
        waiting = self._waiting[end, start]
        length = end - start
        while waiting:
            index = waiting.pop()
            if self._slots[index] >= length:
                self._cost[end, start] = self._servers[index].job_seconds(length)
                self._best[end][start] = index
                return
        self._cost[end, start] = _UNREACHED
        self._best[end][start] = -1

    def _update(self, stale: set[int]) -> None:
        """Find again the least time to the ``stale`` boundaries and to those that are reached through them.

        Costs only ever rise, so a boundary keeps its time while the way it is reached by keeps its cost.
        """
        for end in self._ends:
            if end not in stale and self._came_from[end] not in stale:
                continue
            ways = self._reached_before[end] + self._cost_to[end]
            start = int(ways.argmin())
            self._reached[end] = ways[start]
            self._came_from[end] = start
            stale.add(end)
