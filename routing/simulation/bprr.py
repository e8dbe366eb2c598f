"""BPRR: CG-BP's placement, and clients that weigh a path's time against the wait for its servers."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing.plan.cluster import ModelShape, Server, check_servers
from routing.simulation.cg_bp import cg_bp, design_number
from routing.simulation.links import LinkGraph, Path, RouteBook
from routing.simulation.service_time import ServerTime
from routing.simulation.simulator import Dispatcher, Start, Wake
from routing.simulation.workload import Job
from routing.span import Span


@dataclass(frozen=True, slots=True)
class BprrPolicy:
    """Waiting-penalised shortest-path routing (WS-RR of arXiv 2512.21884) over a placement.

    A link costs τc_j + τp_j·m_ij and the wait until the server has cache for those blocks. That wait is an estimate:
    all jobs that are sent through the server and have not ended are known, but not their sizes, so each is expected to
    take the mean time of its path, and one that takes longer to end any moment. A job's path is chosen when it
    arrives. Every server then gives its cache to jobs in order of arrival, and a job starts once all servers of its
    path have; until then it keeps what it was given.
    """

    graph: LinkGraph
    name: str = "bprr"

    @property
    def spans(self) -> tuple[Span | None, ...]:
        return self.graph.spans

    def dispatcher(self, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator) -> Dispatcher:
        return _Clients(self.graph, RouteBook(self.graph, times))


def bprr_policy(servers: Sequence[Server], model: ModelShape, arrival_rate: float) -> BprrPolicy:
    """Place by CG-BP for design_number() jobs and route over that.

    Raises MemoryTooSmall if the blocks do not all fit with cache for so many jobs.
    """
    check_servers(servers, model)
    spans = cg_bp(servers, model, design_number(servers, model, arrival_rate))
    return BprrPolicy(LinkGraph(servers, model, spans, "CG-BP"))


@dataclass(slots=True)
class _Sent:
    """A job on its way through a path."""

    path: Path
    expected_end: float
    missing: int
    """Servers that have not given their cache yet; the job runs once it is 0."""


class _Clients(Dispatcher):
    """All clients at once, what they know of every server, and the servers' queues."""

    def __init__(self, graph: LinkGraph, book: RouteBook) -> None:
        self._graph = graph
        self._book = book
        self._sent: dict[int, _Sent] = {}
        self._known: list[list[tuple[float, int, int]]] = [[] for _ in graph.slots]
        """(expected end, job, blocks) of the jobs sent through each server, by expected end."""
        self._unclaimed = list(graph.slots)
        """Slots beside those of all known jobs; below 0 where jobs wait."""
        self._free = list(graph.slots)
        """Slots that each server has not given to a job."""
        self._queues: list[deque[tuple[int, int]]] = [deque() for _ in graph.slots]
        """(job, blocks) that wait for each server."""

    def arrive(self, job: int, now: float) -> Sequence[Start | Wake]:
        path, wait = self._choose(now)
        sent = self._sent[job] = _Sent(path, now + wait + self._seconds(path), 0)
        for link in path:
            server, blocks = self._graph.server[link], self._graph.length[link]
            self._unclaimed[server] -= blocks
            insort(self._known[server], (sent.expected_end, job, blocks))
            if self._queues[server] or self._free[server] < blocks:
                self._queues[server].append((job, blocks))
                sent.missing += 1
            else:
                self._free[server] -= blocks
        return () if sent.missing else (Start(job, self._book.route(path)),)

    def depart(self, job: int, now: float) -> Sequence[Start | Wake]:
        ended = self._sent.pop(job)
        started: list[Start | Wake] = []
        for link in ended.path:
            server, blocks = self._graph.server[link], self._graph.length[link]
            self._unclaimed[server] += blocks
            self._forget(server, ended.expected_end, job)
            self._free[server] += blocks
            queue = self._queues[server]
            while queue and queue[0][1] <= self._free[server]:
                following, needed = queue.popleft()
                self._free[server] -= needed
                self._sent[following].missing -= 1
                if self._sent[following].missing == 0:
                    self._expect(following, now)
                    started.append(Start(following, self._book.route(self._sent[following].path)))
        return started

    def _choose(self, now: float) -> tuple[Path, float]:
        """The path with the least wait and time, and the longest wait on it."""
        graph, unclaimed = self._graph, self._unclaimed
        if all(unclaimed[graph.server[link]] >= graph.length[link] for link in graph.fastest):
            return graph.fastest, 0.0
        waits = [
            0.0 if unclaimed[server] >= blocks else self._wait(server, blocks, now)
            for server, blocks in zip(graph.server, graph.length, strict=True)
        ]
        path = graph.cheapest([wait + seconds for wait, seconds in zip(waits, graph.seconds, strict=True)])
        assert path is not None, "a graph has a path, and every wait ends"
        return path, max(waits[link] for link in path)

    def _wait(self, server: int, blocks: int, now: float) -> float:
        """Expected seconds until the server has cache for ``blocks`` beside the jobs that last longer."""
        room = self._graph.slots[server] - blocks
        for end, _, held in reversed(self._known[server]):
            room -= held
            if room < 0:
                return max(end - now, 0.0)
        return 0.0

    def _expect(self, job: int, now: float) -> None:
        """The job starts now, earlier or later than was thought."""
        sent = self._sent[job]
        before, sent.expected_end = sent.expected_end, now + self._seconds(sent.path)
        for link in sent.path:
            server, blocks = self._graph.server[link], self._graph.length[link]
            self._forget(server, before, job)
            insort(self._known[server], (sent.expected_end, job, blocks))

    def _forget(self, server: int, expected_end: float, job: int) -> None:
        known = self._known[server]
        del known[bisect_left(known, (expected_end, job))]

    def _seconds(self, path: Path) -> float:
        return sum(self._graph.seconds[link] for link in path)
