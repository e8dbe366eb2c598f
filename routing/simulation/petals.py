"""PETALS: clients take the shortest path, and try again later where a server is full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing.errors import Overloaded
from routing.plan.cluster import ModelShape, Server, check_servers
from routing.simulation.links import LinkGraph, Path, RouteBook
from routing.simulation.petals_placement import CACHE_JOBS, petals_placement
from routing.simulation.service_time import ServerTime
from routing.simulation.simulator import Dispatcher, Start, Wake
from routing.simulation.workload import Job
from routing.span import Span

FULL_SERVER_SECONDS = 10.0
"""Cost that a client adds for a server which seems to lack cache (client/routing/sequence_manager.py of PETALS)."""
OUTPUT_TOKENS = 20.0
"""Mean length of a job's answer where nothing else is told (arXiv 2604.14993, section 5)."""
MAX_BACK_OFF_SECONDS = 60.0
"""Longest pause between two attempts; the first is 1 s and each is twice the one before."""
MAX_WAITING = 10_000
"""Clients that may wait at once: where more do, they only grow in number, and so does the work of their attempts."""


@dataclass(frozen=True, slots=True)
class PetalsPolicy:
    """PETALS routing over a placement.

    A link costs τc_j + τp_j·m_ij, which stands for half the round trip between servers, the 18 ms of handling and the
    time of its blocks in PETALS; and more if the server's free cache does not hold a job on *all* blocks that it
    hosts, though the job may need fewer. PETALS counts seconds of one token, where these are of a whole job, so that
    FULL_SERVER_SECONDS come once for each of the job's ``output_tokens``. The client takes the cheapest path and
    needs cache on every server of it, as much as its own links ask for. If one refuses, nothing is reserved and the
    client tries again, with a new path, after 1 s, then 2 s, 4 s, up to MAX_BACK_OFF_SECONDS. Nobody queues, so later
    jobs may overtake. Clients know the free cache as it is, where real ones read records of up to a minute ago.

    The simulation raises Overloaded once MAX_WAITING clients wait.
    """

    graph: LinkGraph
    output_tokens: float
    name: str = "petals"

    @property
    def spans(self) -> tuple[Span | None, ...]:
        return self.graph.spans

    def dispatcher(self, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator) -> Dispatcher:
        return _Clients(self.graph, RouteBook(self.graph, times), FULL_SERVER_SECONDS * self.output_tokens)


def petals_policy(
    servers: Sequence[Server],
    model: ModelShape,
    rng: np.random.Generator,
    *,
    cache_jobs: float = CACHE_JOBS,
    spare_memory: bool = False,
    output_tokens: float = OUTPUT_TOKENS,
) -> PetalsPolicy:
    """Place as PETALS does, with room for ``cache_jobs`` jobs on every block, and route over that.

    ``output_tokens`` is the mean of the jobs.

    A server's cache is what it counted on, ``cache_jobs`` times its blocks, and what memory is left lies idle, as in
    PETALS itself (``attn_cache_bytes`` in server.py); with ``spare_memory`` that is cache too. Raises BlocksNotCovered
    or MemoryTooSmall if no chain comes out.
    """
    check_servers(servers, model)
    spans = petals_placement(servers, model, rng, cache_jobs=cache_jobs)
    counted = None if spare_memory else [0 if span is None else int(cache_jobs * len(span)) for span in spans]
    return PetalsPolicy(LinkGraph(servers, model, spans, "PETALS", counted), output_tokens)


def back_off_seconds(attempts: int) -> float:
    """Pause after so many failed ``attempts`` (at least 1)."""
    return min(2.0 ** min(attempts - 1, 16), MAX_BACK_OFF_SECONDS)


class _Clients:
    """All clients at once; what they see differs only in time."""

    def __init__(self, graph: LinkGraph, book: RouteBook, full_seconds: float) -> None:
        self._graph = graph
        self._book = book
        self._full_seconds = full_seconds
        self._free = list(graph.slots)
        self._hosted = [0 if span is None else len(span) for span in graph.spans]
        self._full = 0
        """Set of servers that lack cache for all they host, as bits."""
        for server in range(len(self._free)):
            self._change(server, 0)
        self._paths: dict[int, Path] = {}
        """Cheapest path for each such set."""
        self._attempts: dict[int, int] = {}
        """Failed attempts of each job that waits."""
        self._running: dict[int, Path] = {}

    def arrive(self, job: int, now: float) -> Sequence[Start | Wake]:
        path = self._path()
        server, length = self._graph.server, self._graph.length
        if any(self._free[server[link]] < length[link] for link in path):
            attempts = self._attempts[job] = self._attempts.get(job, 0) + 1
            if len(self._attempts) > MAX_WAITING:
                raise Overloaded(
                    f"over {MAX_WAITING:,} jobs wait under PETALS, which cannot carry so many; lower the arrival rate"
                )
            return (Wake(job, now + back_off_seconds(attempts)),)
        for link in path:
            self._change(server[link], -length[link])
        self._attempts.pop(job, None)
        self._running[job] = path
        return (Start(job, self._book.route(path)),)

    wake = arrive

    def depart(self, job: int, now: float) -> Sequence[Start | Wake]:
        for link in self._running.pop(job):
            self._change(self._graph.server[link], self._graph.length[link])
        return ()

    def _change(self, server: int, slots: int) -> None:
        self._free[server] += slots
        bit = 1 << server
        if self._free[server] < self._hosted[server]:
            self._full |= bit
        else:
            self._full &= ~bit

    def _path(self) -> Path:
        known = self._paths.get(self._full)
        if known is None:
            known = self._graph.cheapest(
                [
                    seconds + self._full_seconds * (self._full >> server & 1)
                    for seconds, server in zip(self._graph.seconds, self._graph.server, strict=True)
                ]
            )
            assert known is not None, "a graph has a path, and no link is ever closed to a client"
            self._paths[self._full] = known
        return known
