"""Clusters of the paper's two kinds of machines, at random distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from paper.inputs import Seconds
from paper.settings import FAST, HANDLING_SECONDS, SLOW, TRACE_FAST, TRACE_SLOW, TRACE_WORK, Kind
from routing.plan.cluster import Server
from routing.plan.hardware import BlockTime, block_time
from routing.simulation import Job, ServerTime, mean_servers


class Cell(NamedTuple):
    """One simulation: a cluster and the jobs that come to it."""

    servers: tuple[Server, ...]
    rate: float
    jobs: int
    seed: tuple[int, ...]


def simulated_cluster(
    count: int, fast_share: float, rtts: Seconds, rng: np.random.Generator, round_trips: int = 1
) -> tuple[Server, ...]:
    """``count`` servers for SIMULATED_MODEL in random order.

    τc_j is a drawn round trip and its handling, ``round_trips`` times: once for a job as the paper says, or once for
    each generated token.
    """
    fast = round(fast_share * count)
    kinds = [FAST] * fast + [SLOW] * (count - fast)
    return tuple(
        Server(
            f"{kind.name}-{number}",
            kind.memory_bytes,
            round_trips * (float(rtt) + HANDLING_SECONDS),
            kind.compute_seconds(),
        )
        for number, (kind, rtt) in enumerate(
            zip((kinds[index] for index in rng.permutation(count)), rng.choice(rtts, count), strict=True), start=1
        )
    )


@dataclass(frozen=True, slots=True)
class TraceCluster:
    """The nine GPU slices of the trace experiment."""

    servers: tuple[Server, ...]
    """With the times of the mean job, for policies to plan with."""
    times: tuple[ServerTime, ...]


def trace_machines(compute_factor: float) -> list[tuple[Kind, BlockTime]]:
    """The nine GPU slices of the trace experiment, and the time of a block; ``compute_factor`` multiplies it."""
    machines = []
    for kind in [FAST] * TRACE_FAST + [SLOW] * TRACE_SLOW:
        block = block_time(kind.device, TRACE_WORK)
        times = (block.per_job, block.per_input_token, block.per_later_token)
        machines.append((kind, BlockTime(*(compute_factor * seconds for seconds in times))))
    return machines


def trace_cluster(
    rtts: Seconds, jobs: Sequence[Job], rng: np.random.Generator, compute_factor: float = 1.0
) -> TraceCluster:
    """Machines for TRACE_MODEL: a job spends a drawn round trip and its handling on a server for each output token.

    ``compute_factor`` multiplies all computing times.
    """
    machines = trace_machines(compute_factor)
    drawn = rng.choice(rtts, len(machines))
    times = []
    servers = []
    for number, ((kind, block), rtt) in enumerate(zip(machines, drawn, strict=True), start=1):
        times.append(ServerTime(0.0, float(rtt) + HANDLING_SECONDS, block))
        servers.append(Server(f"{kind.name}-{number}", kind.memory_bytes, 0.0, 1.0))
    input_tokens = sum(job.input_tokens for job in jobs) / len(jobs)
    output_tokens = sum(job.output_tokens for job in jobs) / len(jobs)
    return TraceCluster(mean_servers(servers, times, input_tokens, output_tokens), tuple(times))
