"""What a test bed compares: where blocks go, who routes, what cache sessions ask for, and what the simulator says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from paper.trace_runs import arrival_rate
from routing.plan.cluster import Link
from routing.plan.reserve import choose_reserve
from routing.simulation import (
    Dispatcher,
    Job,
    PetalsPolicy,
    Policy,
    ServerTime,
    SimulationResult,
    Start,
    Wake,
    paged_policy,
    petals_policy,
    simulate,
)
from routing.simulation.links import LinkGraph
from routing.span import Span
from swarm_node.settings import SESSION_TOKENS
from testbed.clients import Reservation, Routing
from testbed.cluster import Cluster
from testbed.shared_gpus import simulate_shared
from testbed.swarm_policy import SwarmPolicy

Spans = tuple[Span | None, ...]
"""The blocks of each machine; None for a machine that has no part in it."""


class PolicyName(StrEnum):
    PROPOSED = "proposed"
    """Blocks by GBP-CR and c*, or as nodes choose them; this project's client; a slot for every session."""
    PAGED = "proposed-paged"
    """The same, but sessions ask for their own length."""
    JFFC_ONLY = "jffc-only"
    """The whole model on every machine that holds it; this project's client."""
    PETALS = "petals"
    """PETALS's blocks, cache and client."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the policies are set."""

    jobs: tuple[Job, ...]
    reserve: int | None
    """c of the proposed; None takes the one that the lower bound chooses."""
    petals_cache_jobs: float
    """Sessions for which PETALS sets cache aside on each block; more memory it does not use."""
    seed: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A policy on a cluster."""

    spans: Spans
    memory_bytes: tuple[int, ...]
    """That each machine gives."""
    routing: Routing
    reservation: Reservation
    may_choose: bool
    """Whether nodes may choose other blocks than these."""


def place(name: PolicyName, cluster: Cluster, settings: Settings) -> Placed:
    """Raises what planning raises: MemoryTooSmall, Overloaded, BlocksNotCovered."""
    memory = tuple(int(machine.memory_bytes) for machine in cluster.machines)
    servers, shape = cluster.servers(settings.jobs), cluster.shape
    if name is PolicyName.PETALS:
        spans = _petals(cluster, settings).spans
        per_block = shape.block_bytes + settings.petals_cache_jobs * shape.cache_bytes
        # As much more as one token of cache, so that rounding does not take a slot.
        used = tuple(0 if span is None else int(len(span) * per_block + shape.cache_bytes) for span in spans)
        return Placed(spans, tuple(map(min, memory, used)), Routing.PETALS, Reservation.SLOT, may_choose=False)
    if name is PolicyName.JFFC_ONLY:
        whole = shape.blocks * (shape.block_bytes + shape.cache_bytes)
        spans = tuple(Span(0, shape.blocks) if each >= whole else None for each in memory)
        return Placed(spans, memory, Routing.SWARM, Reservation.SLOT, may_choose=False)
    candidates = None if settings.reserve is None else [settings.reserve]
    plan = choose_reserve(servers, shape, arrival_rate(settings.jobs), candidates=candidates)
    reservation = Reservation.LENGTH if name is PolicyName.PAGED else Reservation.SLOT
    return Placed(plan.placement.spans, memory, Routing.SWARM, reservation, may_choose=True)


def predict(
    name: PolicyName, cluster: Cluster, settings: Settings, spans: Sequence[Span | None], *, shared: bool
) -> SimulationResult:
    """What the simulator says of the same machines, delays, jobs and blocks; for ``shared`` see EmulatedGpu."""
    servers, shape = cluster.servers(settings.jobs), cluster.shape
    ways = tuple(cluster.way_seconds(host) for host in range(cluster.client))
    policy: Policy
    if name is PolicyName.PETALS:
        policy = _petals(cluster, settings)
    elif name is PolicyName.PAGED:
        paged = paged_policy(servers, shape, spans, SESSION_TOKENS)
        needs = tuple(map(paged.reserved_tokens, settings.jobs))
        policy = SwarmPolicy(paged.graph, paged.server_tokens, needs, ways, shared)
    else:
        graph = LinkGraph(servers, shape, spans, "the placement")
        policy = SwarmPolicy(graph, graph.slots, (1,) * len(settings.jobs), ways, shared)
    if shared:
        return simulate_shared(policy, settings.jobs, cluster, np.random.default_rng(settings.seed))
    ring = RingPolicy(policy, cluster.ring_seconds)
    return simulate(ring, settings.jobs, cluster.times(), np.random.default_rng(settings.seed))


def _petals(cluster: Cluster, settings: Settings) -> PetalsPolicy:
    return petals_policy(
        cluster.servers(settings.jobs),
        cluster.shape,
        np.random.default_rng(settings.seed),
        cache_jobs=settings.petals_cache_jobs,
        output_tokens=sum(job.output_tokens for job in settings.jobs) / len(settings.jobs),
    )


@dataclass(frozen=True, slots=True)
class RingPolicy:
    """A policy with jobs that take, for each token, the way round the ring of their chain.

    Data goes on from machine to machine, where the simulator's own times are a sum over machines.
    """

    inner: Policy
    ring_seconds: Callable[[Sequence[Link]], float]

    @property
    def name(self) -> str:
        return self.inner.name

    def dispatcher(self, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator) -> Dispatcher:
        return _RingDispatcher(self.inner.dispatcher(jobs, times, rng), self.ring_seconds)


class _RingDispatcher:
    def __init__(self, inner: Dispatcher, ring_seconds: Callable[[Sequence[Link]], float]) -> None:
        self._inner = inner
        self._ring_seconds = ring_seconds

    def arrive(self, job: int, now: float) -> Sequence[Start | Wake]:
        return self._timed(self._inner.arrive(job, now))

    def depart(self, job: int, now: float) -> Sequence[Start | Wake]:
        return self._timed(self._inner.depart(job, now))

    def wake(self, job: int, now: float) -> Sequence[Start | Wake]:
        return self._timed(self._inner.wake(job, now))

    def _timed(self, decisions: Sequence[Start | Wake]) -> Sequence[Start | Wake]:
        return [self._with_ring(each) if isinstance(each, Start) else each for each in decisions]

    def _with_ring(self, start: Start) -> Start:
        route = start.route
        time = replace(route.time, per_output_token=self._ring_seconds(route.links))
        return Start(start.job, replace(route, time=time))
