"""Clusters, chains and jobs as the simulation tests write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from routing.plan.cluster import Chain, Link, ModelShape, Server
from routing.simulation import Job, SimulationResult, mean_times, simulate
from routing.simulation.simulator import Policy
from routing.span import Span


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def chain_server(name: str, seconds: float) -> Server:
    """A server that takes ``seconds`` for a job on a model of one block."""
    return Server(name, 1e6, 0.0, seconds)


def one_block_chains(*shapes: tuple[float, int]) -> tuple[list[Server], list[Chain]]:
    """Chains of one link over a model of one block, from (seconds, capacity)."""
    servers = [chain_server(f"s{index}", seconds) for index, (seconds, _) in enumerate(shapes)]
    chains = [Chain((Link(index, Span(0, 1)),), seconds, capacity) for index, (seconds, capacity) in enumerate(shapes)]
    return servers, chains


def jobs_at(*arrivals: float, size: float = 1.0, tokens: int = 100) -> list[Job]:
    return [Job(arrival, size, tokens, 0) for arrival in arrivals]


def run(policy: Policy, servers: Sequence[Server], jobs: Sequence[Job], seed: int = 0) -> SimulationResult:
    return simulate(policy, jobs, mean_times(servers), rng(seed))


def chains_taken(result: SimulationResult) -> list[tuple[int, ...]]:
    """The servers of each job's route."""
    return [tuple(link.server for link in route.links) for route in result.routes]


def random_cluster(seed: int, count: int = 7, blocks: int = 6) -> tuple[list[Server], ModelShape]:
    """Servers that hold a few of the blocks each, and all of them together several times."""
    source = rng(seed)
    model = ModelShape(blocks, 1.0, 0.25)
    servers = [
        Server(f"s{index}", source.uniform(3, 9), source.uniform(0.05, 1), source.uniform(0.05, 1))
        for index in range(count)
    ]
    return servers, model


def most_used(result: SimulationResult, server: int, amounts: Iterable[int] | None = None) -> int:
    """The most blocks (times ``amounts`` of each job, if given) of jobs' cache that a server ever holds at once."""
    events: list[tuple[float, int, int]] = []
    weights = [1] * len(result.routes) if amounts is None else list(amounts)
    for route, start, end, weight in zip(result.routes, result.start, result.end, weights, strict=True):
        for link in route.links:
            if link.server == server:
                # A job that ends makes room for one that starts at the same moment.
                events += [(start, 1, weight * len(link.span)), (end, 0, -weight * len(link.span))]
    used = most = 0
    for _, _, change in sorted(events):
        used += change
        most = max(most, used)
    return most
