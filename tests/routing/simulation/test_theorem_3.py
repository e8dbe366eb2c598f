"""Join the fastest free chain needs no other chains than those that greedy cache allocation finds (Theorem 3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from routing.plan.cluster import Link, ModelShape, Server, cache_slots
from routing.plan.gbp_cr import gbp_cr
from routing.plan.gca import gca
from routing.simulation import Job, Route, ServerTime, Start, fixed_chain_policy, poisson_jobs
from routing.simulation.service_time import make_route
from routing.span import Span
from tests.routing.simulation.clusters import random_cluster, rng, run


def all_chains(spans: Sequence[Span | None], blocks: int, start: int = 0) -> list[tuple[Link, ...]]:
    """Every sequence of servers from block ``start`` to the last, with no regard to cache."""
    if start == blocks:
        return [()]
    return [
        (Link(server, Span(start, span.end)), *rest)
        for server, span in enumerate(spans)
        if span is not None and start in span
        for rest in all_chains(spans, blocks, span.end)
    ]


@dataclass(frozen=True)
class FastestOfAll:
    """Join the fastest free of all chains there are, where one is free if its servers have slots for one more job."""

    servers: Sequence[Server]
    model: ModelShape
    spans: Sequence[Span | None]
    name: str = "all chains"

    def dispatcher(self, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator) -> _AllChains:
        chains = sorted(
            all_chains(self.spans, self.model.blocks),
            key=lambda links: sum(self.servers[link.server].job_seconds(len(link.span)) for link in links),
        )
        slots = [
            0 if span is None else cache_slots(server, self.model, len(span))
            for server, span in zip(self.servers, self.spans, strict=True)
        ]
        return _AllChains([make_route(links, times) for links in chains], slots)


class _AllChains:
    def __init__(self, routes: list[Route], slots: list[int]) -> None:
        self.routes, self.slots = routes, slots
        self.queue: deque[int] = deque()
        self.running: dict[int, Route] = {}

    def arrive(self, job: int, now: float) -> list[Start]:
        self.queue.append(job)
        return self.start_waiting()

    def depart(self, job: int, now: float) -> list[Start]:
        for link in self.running.pop(job).links:
            self.slots[link.server] += len(link.span)
        return self.start_waiting()

    def wake(self, job: int, now: float) -> list[Start]:
        raise AssertionError("never asked for")

    def start_waiting(self) -> list[Start]:
        starts = []
        while self.queue:
            free = (r for r in self.routes if all(self.slots[link.server] >= len(link.span) for link in r.links))
            if (route := next(free, None)) is None:
                break
            for link in route.links:
                self.slots[link.server] -= len(link.span)
            job = self.queue.popleft()
            self.running[job] = route
            starts.append(Start(job, route))
        return starts


@pytest.mark.parametrize("seed", range(20))
def test_jobs_take_the_same_chains_at_the_same_times_as_if_all_chains_were_open(seed: int) -> None:
    servers, model = random_cluster(seed, count=6, blocks=5)
    if seed % 2:
        spans = gbp_cr(servers, model, reserve=1 + seed % 3).spans
    else:
        # The theorem holds for any placement: here one that nobody would choose.
        source = rng(seed)
        counts = [int(server.memory_bytes // 1.5) for server in servers]
        starts = [int(source.integers(0, model.blocks - min(count, model.blocks) + 1)) for count in counts]
        spans = tuple(
            Span(start, start + min(count, model.blocks)) for start, count in zip(starts, counts, strict=True)
        )
    chains = gca(servers, model, spans)
    if not chains:
        pytest.skip("this placement has no chain")
    rate = 0.9 * sum(chain.rate for chain in chains)
    jobs = poisson_jobs(rate, 400, rng(seed))
    greedy = run(fixed_chain_policy("jffc", chains), servers, jobs)
    every = run(FastestOfAll(servers, model, spans), servers, jobs)
    assert [route.links for route in greedy.routes] == [route.links for route in every.routes]
    assert greedy.start.tolist() == every.start.tolist()


def test_the_comparison_sees_chains_that_share_servers() -> None:
    servers = [Server(f"s{index}", 2.6, 1.0, 0.1 * (index + 1)) for index in range(4)]
    model = ModelShape(3, 1.0, 0.1)
    spans = (Span(0, 2), Span(1, 3), Span(0, 1), Span(2, 3))
    assert len(all_chains(spans, 3)) == 5
    assert len(gca(servers, model, spans)) >= 2
