"""What a job takes of the servers' caches: of one pool for each server, or of lanes that are kept for the chains."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from routing.errors import ClusterInvalid
from routing.plan.cluster import Chain
from routing.simulation.links import LinkGraph, Path


@dataclass(frozen=True, slots=True)
class Pools:
    """Cache that is given away by itself, and which links of a graph use it."""

    graph: LinkGraph
    pool: tuple[int, ...]
    """By link: where its cache comes from; -1 for a link that nobody may take."""
    need: tuple[int, ...]
    """By link: what one job takes of it."""
    capacity: tuple[int, ...]
    """By pool."""
    server: tuple[int, ...]
    """By pool: whose it is."""

    def fastest(self, free: Sequence[int], luck: Sequence[float]) -> Path | None:
        """The path that takes a job the least time where pools have so much ``free``; None if there is none.

        ``luck`` stretches the time on each pool's links.
        """
        return self.graph.cheapest(
            [
                seconds * luck[pool] if pool >= 0 and free[pool] >= need else math.inf
                for seconds, pool, need in zip(self.graph.seconds, self.pool, self.need, strict=True)
            ]
        )

    def most_needed(self) -> dict[int, int]:
        """By pool: the most that a job takes of it on any link."""
        most = dict.fromkeys(range(len(self.capacity)), 0)
        for pool, need in zip(self.pool, self.need, strict=True):
            if pool >= 0:
                most[pool] = max(most[pool], need)
        return most

    def seconds(self, path: Path) -> float:
        """Mean time of a job on ``path``."""
        return sum(self.graph.seconds[link] for link in path)


def server_pools(graph: LinkGraph, chains: Sequence[Chain] | None = None) -> Pools:
    """All of a server's cache is one pool; with ``chains`` only their links may be taken, else all of the graph."""
    wanted = set(graph.links) if chains is None else {link for chain in chains for link in chain.links}
    servers = sorted({link.server for link in wanted})
    place = {server: number for number, server in enumerate(servers)}
    return Pools(
        graph,
        tuple(place[link.server] if link in wanted else -1 for link in graph.links),
        graph.length,
        tuple(graph.slots[server] for server in servers),
        tuple(servers),
    )


def lane_pools(graph: LinkGraph, chains: Sequence[Chain]) -> Pools:
    """Every link of ``chains`` is a lane of its own, with room for as many jobs as the chains bring through it.

    These lanes are a flow from the first block to the last. A job takes a path out of it and what remains is a flow
    again, so however jobs choose among the lanes, as many as all chains hold find a path together. In one pool they do
    not: jobs that enter a server at different blocks take different amounts, and leave pieces that no job fits into.

    Raises ClusterInvalid if the chains are not of this graph.
    """
    jobs: Counter[tuple[int, int]] = Counter()
    for chain in chains:
        for link in chain.links:
            jobs[link.server, link.span.start] += chain.capacity
    lanes = {link: number for number, link in enumerate(graph.links) if (link.server, link.span.start) in jobs}
    if len(lanes) != len(jobs):
        raise ClusterInvalid("the chains do not run over this placement; make them with gca() from its spans")
    pool = [-1] * len(graph.links)
    for place, number in enumerate(lanes.values()):
        pool[number] = place
    return Pools(
        graph,
        tuple(pool),
        (1,) * len(graph.links),
        tuple(jobs[link.server, link.span.start] for link in lanes),
        tuple(link.server for link in lanes),
    )
