"""Paged cache: jobs reserve their own length, in pages, rather than the longest that a session may be."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from routing.errors import ClusterInvalid
from routing.plan.cluster import ModelShape, Server, cache_slots
from routing.simulation.links import LinkGraph, Path, RouteBook
from routing.simulation.service_time import ServerTime
from routing.simulation.simulator import Dispatcher, Start, Wake
from routing.simulation.workload import Job
from routing.span import Span

PAGE_TOKENS = 16
"""Tokens of one page."""


@dataclass(frozen=True, slots=True)
class PagedPolicy:
    """Join the fastest free chain, where a chain is free for a job if its servers have pages for that job.

    A job reserves its tokens (Job.tokens: input and output, times its size), rounded up to whole pages, in every block
    of its links, but never more than ``session_tokens``: a job that is longer reserves those, as the static cache
    does. All chains share the pages of their servers, so the fastest one is found anew for each job. Jobs that fit
    nowhere wait in one FIFO queue, whose head is not overtaken by shorter jobs.
    """

    graph: LinkGraph
    server_tokens: tuple[int, ...]
    """Tokens of cache of each server, counted once for each block."""
    session_tokens: int
    name: str = "proposed"

    @property
    def spans(self) -> tuple[Span | None, ...]:
        return self.graph.spans

    def reserved_tokens(self, job: Job) -> int:
        """Tokens that a job reserves in each block."""
        return min(-(-job.tokens // PAGE_TOKENS) * PAGE_TOKENS, self.session_tokens)

    def dispatcher(self, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator) -> Dispatcher:
        """Raises ClusterInvalid if a job has no length."""
        if any(job.input_tokens + job.output_tokens == 0 for job in jobs):
            raise ClusterInvalid("a paged cache needs jobs with lengths; give their input and output tokens")
        return _Pages(self, RouteBook(self.graph, times), jobs)


def paged_policy(
    servers: Sequence[Server], model: ModelShape, spans: Sequence[Span | None], session_tokens: int
) -> PagedPolicy:
    """Dispatch over the placement ``spans`` with a paged cache; ``model.cache_bytes`` holds ``session_tokens``.

    Raises ClusterInvalid if these are fewer than 1, BlocksNotCovered or MemoryTooSmall if there is no chain.
    """
    if session_tokens < 1:
        raise ClusterInvalid(f"session_tokens is {session_tokens}; give the tokens that cache_bytes holds, at least 1")
    graph = LinkGraph(servers, model, spans, "the placement")
    per_token = replace(model, cache_bytes=model.cache_bytes / session_tokens)
    tokens = [
        0 if span is None else max(slots * session_tokens, cache_slots(server, per_token, len(span)))
        for server, span, slots in zip(servers, spans, graph.slots, strict=True)
    ]
    return PagedPolicy(graph, tuple(tokens), session_tokens)


class _Pages(Dispatcher):
    """Free tokens of all servers and the one queue."""

    def __init__(self, policy: PagedPolicy, book: RouteBook, jobs: Sequence[Job]) -> None:
        self._graph = policy.graph
        self._book = book
        self._free = list(policy.server_tokens)
        self._reserved = [policy.reserved_tokens(job) for job in jobs]
        self._queue: deque[int] = deque()
        self._running: dict[int, Path] = {}

    def arrive(self, job: int, now: float) -> Sequence[Start | Wake]:
        self._queue.append(job)
        return self._start_waiting() if len(self._queue) == 1 else ()

    def depart(self, job: int, now: float) -> Sequence[Start | Wake]:
        self._take(self._running.pop(job), -self._reserved[job])
        return self._start_waiting()

    def _start_waiting(self) -> Sequence[Start | Wake]:
        starts: list[Start | Wake] = []
        while self._queue and (path := self._path(self._reserved[self._queue[0]])) is not None:
            job = self._queue.popleft()
            self._take(path, self._reserved[job])
            self._running[job] = path
            starts.append(Start(job, self._book.route(path)))
        return starts

    def _take(self, path: Path, tokens: int) -> None:
        for link in path:
            self._free[self._graph.server[link]] -= tokens * self._graph.length[link]

    def _path(self, tokens: int) -> Path | None:
        """The fastest path with ``tokens`` free in every block of it."""
        graph, free = self._graph, self._free
        if all(free[graph.server[link]] >= tokens * graph.length[link] for link in graph.fastest):
            return graph.fastest
        closed = float("inf")
        return graph.cheapest(
            [
                seconds if free[server] >= tokens * length else closed
                for server, length, seconds in zip(graph.server, graph.length, graph.seconds, strict=True)
            ]
        )
