"""All links that jobs can take over a placement, and the cheapest way along them."""

from __future__ import annotations

from collections.abc import Sequence

from routing.errors import BlocksNotCovered, MemoryTooSmall
from routing.plan.cluster import Link, ModelShape, Server, cache_slots
from routing.simulation.service_time import Route, ServerTime, make_route
from routing.span import Span, describe_blocks, gaps, replicas

Path = tuple[int, ...]
"""Numbers of links, first blocks first."""


class LinkGraph:
    """Links between the boundaries 0..L that some chain uses, known by number, in order of where they start.

    A server once entered is used to its end, so a link is a server and the boundary at which it is entered; what it
    costs does not depend on how that boundary was reached, and one pass over the links finds the cheapest path.

    Raises BlocksNotCovered if the placement leaves a block out, MemoryTooSmall if a job's cache fits on no path.
    ``placed_by`` names the placement in these messages. ``slots`` are the job-blocks of cache of each server if they
    are not all that fit beside its weights.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        model: ModelShape,
        spans: Sequence[Span | None],
        placed_by: str,
        slots: Sequence[int] | None = None,
    ) -> None:
        self.spans = tuple(spans)
        fitting = [
            0 if span is None else cache_slots(server, model, len(span))
            for server, span in zip(servers, spans, strict=True)
        ]
        self.slots = tuple(fitting if slots is None else map(min, slots, fitting))
        """Job-blocks of cache of each server."""
        self._blocks = model.blocks
        links = self._usable()
        self.links = tuple(Link(server, Span(start, end)) for start, end, server in links)
        self.server = tuple(server for _, _, server in links)
        self.length = tuple(end - start for start, end, _ in links)
        """Blocks processed on each link."""
        self.seconds = tuple(servers[server].job_seconds(end - start) for start, end, server in links)
        """Mean time of a job on each link."""
        self._ways = tuple((start, end) for start, end, _ in links)
        fastest = self.cheapest(self.seconds)
        if fastest is None:
            raise _why_none(self.spans, model.blocks, placed_by)
        self.fastest: Path = fastest
        """Least mean time of a job, were there nobody else."""

    def cheapest(self, costs: Sequence[float]) -> Path | None:
        """The path with the least sum of ``costs`` (one for each link, infinite if it cannot be taken); None if none.

        Among equals the one whose links come first is taken.
        """
        infinite = float("inf")
        reached = [0.0] + [infinite] * self._blocks
        arrived = [-1] * (self._blocks + 1)
        for link, (start, end) in enumerate(self._ways):
            cost = reached[start] + costs[link]
            if cost < reached[end]:
                reached[end] = cost
                arrived[end] = link
        if reached[self._blocks] == infinite:
            return None
        path: list[int] = []
        boundary = self._blocks
        while boundary > 0:
            link = arrived[boundary]
            path.append(link)
            boundary = self._ways[link][0]
        path.reverse()
        return tuple(path)

    def _usable(self) -> list[tuple[int, int, int]]:
        """(start, end, server) of links that lie on a path from the first block to the last."""
        hosts = [(span, server) for server, span in enumerate(self.spans) if span is not None]
        reached = {0}
        found: list[tuple[int, int, int]] = []
        for start in range(self._blocks):
            if start not in reached:
                continue
            for span, server in hosts:
                if start in span and span.end - start <= self.slots[server]:
                    found.append((start, span.end, server))
                    reached.add(span.end)
        leads_on = {self._blocks}
        for start, end, _ in reversed(found):
            if end in leads_on:
                leads_on.add(start)
        return [link for link in found if link[1] in leads_on]


class RouteBook:
    """The routes of paths, each made once."""

    def __init__(self, graph: LinkGraph, times: Sequence[ServerTime]) -> None:
        self._graph = graph
        self._times = times
        self._routes: dict[Path, Route] = {}

    def route(self, path: Path) -> Route:
        """The same object for the same path."""
        known = self._routes.get(path)
        if known is None:
            known = self._routes[path] = make_route(tuple(self._graph.links[link] for link in path), self._times)
        return known


def _why_none(spans: Sequence[Span | None], blocks: int, placed_by: str) -> BlocksNotCovered | MemoryTooSmall:
    missing = gaps(replicas(spans, blocks))
    if missing:
        return BlocksNotCovered(
            f"{placed_by} leaves blocks {describe_blocks(missing[:1])} of {blocks} without a server; "
            "add servers or memory"
        )
    return MemoryTooSmall(f"{placed_by} leaves no chain of servers with cache for a job; add memory")
