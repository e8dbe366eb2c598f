"""Dispatching over chains that are fixed: join the fastest free one, and the rules it is compared with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from routing.errors import ClusterInvalid
from routing.plan.cluster import Chain
from routing.plan.jffc import Jffc
from routing.simulation.service_time import Route, ServerTime, make_route
from routing.simulation.simulator import Dispatcher, Start, Wake
from routing.simulation.workload import Job


@dataclass(frozen=True, slots=True)
class FixedChainPolicy:
    """A rule of DISPATCH_RULES over given chains."""

    name: str
    rule: str
    chains: tuple[Chain, ...]

    def dispatcher(self, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator) -> Dispatcher:
        routes = [make_route(chain.links, times) for chain in self.chains]
        if self.rule == "jffc":
            return _CentralQueue(self.chains, routes)
        return _QueuePerChain(self.chains, routes, _RULES[self.rule], rng)


def fixed_chain_policy(rule: str, chains: Sequence[Chain], name: str | None = None) -> FixedChainPolicy:
    """A policy that dispatches over ``chains`` by one of DISPATCH_RULES; ``name`` is what it is called, if not so.

    - ``jffc``: to the fastest chain with a free slot; if none has one, to a queue that all chains share (FIFO).
    - ``jsq``: to a chain with the fewest jobs, running and waiting; at random among several.
    - ``jiq``: to a chain with a free slot, at random among several; if there is none, to any chain at random.
    - ``sed``: to the chain with the least expected delay, T_k·max(1, (n_k+1)/c_k) with n_k jobs on its c_k slots.
    - ``sa-jsq``: like jsq, but to the fastest among several.
    - ``random``: to a chain at random, in proportion to its rate c_k/T_k, so that none is overloaded unless all are.

    All but jffc keep a FIFO queue for every chain (arXiv 2604.14993, section 5). Raises ClusterInvalid for an unknown
    rule, or if there is no chain.
    """
    if rule not in DISPATCH_RULES:
        raise ClusterInvalid(f"there is no dispatching rule {rule}; choose one of {', '.join(DISPATCH_RULES)}")
    if not any(chain.capacity > 0 for chain in chains):
        raise ClusterInvalid("there is no chain with room for a job; give at least one")
    usable = sorted((chain for chain in chains if chain.capacity > 0), key=lambda chain: chain.service_seconds)
    return FixedChainPolicy(name or rule, rule, tuple(usable))


class _CentralQueue(Dispatcher):
    """Jffc, as a dispatcher."""

    def __init__(self, chains: Sequence[Chain], routes: Sequence[Route]) -> None:
        self._routes = routes
        self._jffc: Jffc[int] = Jffc(chains)
        self._chain_of: dict[int, int] = {}

    def arrive(self, job: int, now: float) -> Sequence[Start | Wake]:
        chain = self._jffc.arrive(job)
        return () if chain is None else (self._start(job, chain),)

    def depart(self, job: int, now: float) -> Sequence[Start | Wake]:
        chain = self._chain_of.pop(job)
        following = self._jffc.depart(chain)
        return () if following is None else (self._start(following, chain),)

    def _start(self, job: int, chain: int) -> Start:
        self._chain_of[job] = chain
        return Start(job, self._routes[chain])


class ChainLoads:
    """What a rule may look at: chains fastest first, and how many jobs each has."""

    def __init__(self, chains: Sequence[Chain], rng: np.random.Generator) -> None:
        self.capacity = [chain.capacity for chain in chains]
        self.seconds = [chain.service_seconds for chain in chains]
        self.jobs = [0] * len(chains)
        """Running and waiting jobs of each chain."""
        self.delays = list(self.seconds)
        """Expected delay of one more job on each chain."""
        rates = np.array([chain.rate for chain in chains])
        self._shares = np.cumsum(rates / rates.sum())
        self._rng = rng

    def add(self, chain: int, count: int) -> None:
        """So many jobs more on a chain, or fewer."""
        self.jobs[chain] += count
        waits = max(1.0, (self.jobs[chain] + 1) / self.capacity[chain])
        self.delays[chain] = self.seconds[chain] * waits

    def any_of(self, chains: Sequence[int]) -> int:
        """One of them at random."""
        return chains[int(self._rng.random() * len(chains))]

    def by_rate(self) -> int:
        """One of all at random, in proportion to its rate."""
        return min(int(self._shares.searchsorted(self._rng.random(), side="right")), len(self.jobs) - 1)


def _shortest_queue(loads: ChainLoads) -> int:
    fewest = min(loads.jobs)
    return loads.any_of([chain for chain, jobs in enumerate(loads.jobs) if jobs == fewest])


def _idle_queue(loads: ChainLoads) -> int:
    idle = [chain for chain, jobs in enumerate(loads.jobs) if jobs < loads.capacity[chain]]
    return loads.any_of(idle or range(len(loads.jobs)))


_RULES: dict[str, Callable[[ChainLoads], int]] = {
    "jsq": _shortest_queue,
    "jiq": _idle_queue,
    "sed": lambda loads: loads.delays.index(min(loads.delays)),
    "sa-jsq": lambda loads: loads.jobs.index(min(loads.jobs)),
    "random": ChainLoads.by_rate,
}

DISPATCH_RULES = ("jffc", *_RULES)
"""Names that fixed_chain_policy knows."""


class _QueuePerChain(Dispatcher):
    """Sends a job to a chain once and for all; it waits there for a slot."""

    def __init__(
        self,
        chains: Sequence[Chain],
        routes: Sequence[Route],
        choose: Callable[[ChainLoads], int],
        rng: np.random.Generator,
    ) -> None:
        self._routes = routes
        self._choose = choose
        self._loads = ChainLoads(chains, rng)
        self._queues: list[deque[int]] = [deque() for _ in chains]
        self._chain_of: dict[int, int] = {}

    def arrive(self, job: int, now: float) -> Sequence[Start | Wake]:
        chain = self._choose(self._loads)
        self._loads.add(chain, 1)
        self._chain_of[job] = chain
        if self._loads.jobs[chain] <= self._loads.capacity[chain]:
            return (Start(job, self._routes[chain]),)
        self._queues[chain].append(job)
        return ()

    def depart(self, job: int, now: float) -> Sequence[Start | Wake]:
        chain = self._chain_of.pop(job)
        self._loads.add(chain, -1)
        if not self._queues[chain]:
            return ()
        return (Start(self._queues[chain].popleft(), self._routes[chain]),)
