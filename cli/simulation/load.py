"""The jobs that a simulation runs, and how long each takes on every server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from routing.errors import ClusterInvalid, UsageError
from routing.plan.cluster import Server
from routing.plan.hardware import BlockTime
from routing.simulation import (
    Job,
    ServerTime,
    mean_servers,
    mean_times,
    poisson_jobs,
    trace_jobs,
    with_exponential_sizes,
    with_poisson_arrivals,
)

if TYPE_CHECKING:
    from cli.cluster import Cluster

MAX_TRACE_BYTES = 200 * 10**6
"""About four million jobs, some five hundred times the Azure trace."""
_MAX_LINE_BYTES = 1_000
"""A line of a trace takes about 45."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the cluster is given to do."""

    jobs: tuple[Job, ...]
    """In order of arrival."""
    arrival_rate: float
    """Jobs per second that policies plan for: what was asked for, or the mean of the trace."""
    servers: tuple[Server, ...]
    """With the mean times of these jobs, for policies to plan with."""
    output_tokens: float
    """Mean of these jobs."""
    times: tuple[ServerTime, ...]
    """What each server adds to a job, as it follows from the job's size and lengths."""


def poisson_load(cluster: Cluster, rate: float, count: int, rng: np.random.Generator) -> Load:
    """``count`` jobs at random, of exponential size: a job of size x takes x times the seconds of the cluster file."""
    jobs = poisson_jobs(
        rate, count, rng, input_tokens=round(cluster.input_tokens), output_tokens=round(cluster.output_tokens)
    )
    return Load(jobs, rate, cluster.servers, cluster.output_tokens, mean_times(cluster.servers))


def trace_load(
    cluster: Cluster,
    path: Path,
    limit: int | None,
    rate: float | None,
    *,
    poisson: bool,
    exponential: bool,
    rng: np.random.Generator,
) -> Load:
    """The first ``limit`` jobs of a trace (None for all), at ``rate`` per second or as they came.

    ``poisson`` lets them arrive at random, ``exponential`` gives all the mean lengths and sizes at random.
    Raises ClusterInvalid, with the line, for a file that is no trace, UsageError if it has no rate of its own.
    """
    try:
        jobs = trace_jobs(_lines(path), rate=None if poisson else rate, limit=limit)
    except ClusterInvalid as error:
        raise ClusterInvalid(f"{path}: {error}") from error
    planned = _rate_of(jobs, path) if rate is None else rate
    if poisson:
        jobs = with_poisson_arrivals(jobs, planned, rng)
    if exponential:
        jobs = with_exponential_sizes(jobs, rng)
    lengths = _MeanLengths.of(jobs)
    times = tuple(
        lengths.server_time(server, block) for server, block in zip(cluster.servers, cluster.block_times, strict=True)
    )
    servers = mean_servers(cluster.servers, times, lengths.input, lengths.output)
    return Load(jobs, planned, servers, lengths.output, times)


@dataclass(frozen=True, slots=True)
class _MeanLengths:
    """Tokens of the mean job."""

    input: float
    output: float
    later: float
    """Generated after the first."""

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> _MeanLengths:
        return cls(
            input=sum(job.input_tokens for job in jobs) / len(jobs),
            output=sum(job.output_tokens for job in jobs) / len(jobs),
            later=sum(max(job.output_tokens - 1, 0) for job in jobs) / len(jobs),
        )

    def server_time(self, server: Server, block: BlockTime | None) -> ServerTime:
        """The mean job takes the comm_seconds of the file, each job in proportion to the tokens that it generates.

        Computation follows from ``block``; where the file only gives compute_seconds, the mean job takes these and
        each job in proportion to all its tokens, since nothing tells a token of the prompt from a generated one.
        """
        comm = server.comm_seconds
        tokens = self.input + self.later
        if block is None:
            per_token = server.compute_seconds / tokens if tokens else 0.0
            block = BlockTime(0.0 if tokens else server.compute_seconds, per_token, per_token)
        return ServerTime(0.0, comm / self.output, block) if self.output else ServerTime(comm, 0.0, block)


def _rate_of(jobs: Sequence[Job], path: Path) -> float:
    seconds = jobs[-1].arrival
    if seconds == 0:
        raise UsageError(f"{path}: its jobs all arrive at once; give --poisson and an --arrival-rate")
    return (len(jobs) - 1) / seconds


def _lines(path: Path) -> Iterator[str]:
    """Lines of a file that may be anything; raises ClusterInvalid where it cannot be a trace."""
    total = 0
    try:
        with path.open("rb") as stream:
            while line := stream.readline(_MAX_LINE_BYTES):
                total += len(line)
                if total > MAX_TRACE_BYTES:
                    raise ClusterInvalid(
                        f"the trace is longer than {MAX_TRACE_BYTES // 10**6} MB; use fewer of its jobs with --jobs"
                    )
                yield line.decode("utf-8")
    except OSError as error:
        raise ClusterInvalid(f"the trace cannot be read ({error.strerror}); give a CSV file") from error
    except UnicodeDecodeError as error:
        raise ClusterInvalid("the trace is not text in UTF-8; give a CSV file") from error
    except ValueError as error:
        raise ClusterInvalid("a path holds no zero characters; give a CSV file") from error
