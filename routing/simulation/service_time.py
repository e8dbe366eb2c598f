"""How long a job takes on a route, as a function of its size and lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from routing.plan.cluster import Link, Server
from routing.plan.hardware import BlockTime
from routing.simulation.workload import Job


@dataclass(frozen=True, slots=True)
class ServerTime:
    """Seconds that one server adds to a job that passes through it."""

    comm_per_job: float
    """Communication that does not depend on the job's lengths."""
    comm_per_output_token: float
    """Communication for each generated token."""
    block: BlockTime
    """Computation in each block."""

    def comm_seconds(self, output_tokens: float) -> float:
        """τc_j of a job that generates ``output_tokens``."""
        return self.comm_per_job + self.comm_per_output_token * output_tokens


def mean_times(servers: Sequence[Server]) -> tuple[ServerTime, ...]:
    """Times that know only τc_j and τp_j: a job takes its size times T_k, whatever its lengths."""
    return tuple(
        ServerTime(server.comm_seconds, 0.0, BlockTime(server.compute_seconds, 0.0, 0.0)) for server in servers
    )


def mean_servers(
    servers: Sequence[Server], times: Sequence[ServerTime], input_tokens: float, output_tokens: float
) -> tuple[Server, ...]:
    """The servers with τc_j and τp_j of a job of the given mean lengths: what policies plan with."""
    return tuple(
        replace(
            server,
            comm_seconds=time.comm_seconds(output_tokens),
            compute_seconds=time.block.seconds(input_tokens, output_tokens),
        )
        for server, time in zip(servers, times, strict=True)
    )


@dataclass(frozen=True, slots=True)
class JobTime:
    """Seconds of a job on a whole route: the sum over its links."""

    per_job: float
    per_input_token: float
    per_output_token: float
    per_later_token: float
    """For each generated token after the first."""

    def seconds(self, job: Job) -> float:
        """Of this job, from its start to its end: in proportion to its size."""
        output = job.output_tokens
        return job.size * (
            self.per_job
            + self.per_input_token * job.input_tokens
            + self.per_output_token * output
            + self.per_later_token * (output - 1 if output > 1 else 0)
        )


@dataclass(frozen=True, slots=True)
class Route:
    """Where a job runs: links from the first block to the last, and what they take together."""

    links: tuple[Link, ...]
    time: JobTime


def make_route(links: tuple[Link, ...], times: Sequence[ServerTime]) -> Route:
    """The route over ``links``; ``times`` are those of all servers."""
    parts = [(times[link.server], len(link.span)) for link in links]
    return Route(
        links,
        JobTime(
            per_job=sum(time.comm_per_job + time.block.per_job * blocks for time, blocks in parts),
            per_input_token=sum(time.block.per_input_token * blocks for time, blocks in parts),
            per_output_token=sum(time.comm_per_output_token for time, _ in parts),
            per_later_token=sum(time.block.per_later_token * blocks for time, blocks in parts),
        ),
    )
