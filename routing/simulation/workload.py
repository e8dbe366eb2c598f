"""Jobs to simulate: when they come and how long they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from routing.errors import ClusterInvalid

TRACE_HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
"""First line of an Azure LLM inference trace (2023)."""
MAX_TOKENS = 10**9
"""Length of a job beyond which a trace is not believed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job; it takes ``size`` times what its lengths take."""

    arrival: float
    """Seconds since the first moment of the simulation."""
    size: float
    """1 for a job that is what its lengths say, an exponential variable of mean 1 for one that only has a mean."""
    input_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        """Tokens of cache that it fills by its end, in each block."""
        return math.ceil(self.size * (self.input_tokens + self.output_tokens))


def poisson_jobs(
    rate: float, count: int, rng: np.random.Generator, *, input_tokens: int = 0, output_tokens: int = 0
) -> tuple[Job, ...]:
    """``count`` jobs that arrive at ``rate`` per second, with exponential sizes of mean 1.

    All have the same (mean) lengths. These matter only to times that depend on lengths and to a paged cache.
    Raises ClusterInvalid for a rate or count that is not above 0.
    """
    _check_rate(rate)
    if count < 1:
        raise ClusterInvalid(f"{count} jobs cannot be simulated; give at least 1")
    arrivals = np.cumsum(rng.exponential(1 / rate, count)).tolist()
    sizes = rng.exponential(1.0, count).tolist()
    return tuple(Job(arrival, size, input_tokens, output_tokens) for arrival, size in zip(arrivals, sizes, strict=True))


def trace_jobs(lines: Iterable[str], *, rate: float | None = None, limit: int | None = None) -> tuple[Job, ...]:
    """Jobs of a trace in the Azure format, all of size 1; the first arrives at 0.

    Every line after the header is a time, the input and the output tokens of a job: ``2023-11-16
    18:17:03.9799600,4808,10``. With ``rate`` the times are stretched to so many jobs a second on average; with
    ``limit`` only that many jobs are read. Raises ClusterInvalid, with the number of the line, for anything else.
    """
    jobs: list[Job] = []
    first: datetime | None = None
    for number, line in enumerate(lines, start=1):
        if number == 1:
            if line.lstrip("\ufeff").strip() != TRACE_HEADER:
                raise ClusterInvalid(f"line 1 of the trace is not its header; begin with {TRACE_HEADER}")
            continue
        if limit is not None and len(jobs) >= limit:
            break
        if not line.strip():
            continue
        moment, input_tokens, output_tokens = _read_line(number, line)
        first = first or moment
        if (moment.tzinfo is None) != (first.tzinfo is None):
            raise ClusterInvalid(f"line {number} of the trace has another kind of time zone than its first job")
        arrival = (moment - first).total_seconds()
        if jobs and arrival < jobs[-1].arrival:
            raise ClusterInvalid(f"line {number} of the trace is earlier than the one before; sort the trace by time")
        jobs.append(Job(arrival, 1.0, input_tokens, output_tokens))
    if not jobs:
        raise ClusterInvalid("the trace has no jobs; give one with at least one line after the header")
    return tuple(jobs) if rate is None else _at_rate(jobs, rate)


def with_poisson_arrivals(jobs: Sequence[Job], rate: float, rng: np.random.Generator) -> tuple[Job, ...]:
    """The same jobs in the same order, arriving at ``rate`` per second at random."""
    _check_rate(rate)
    arrivals = np.cumsum(rng.exponential(1 / rate, len(jobs))).tolist()
    return tuple(replace(job, arrival=arrival) for job, arrival in zip(jobs, arrivals, strict=True))


def with_exponential_sizes(jobs: Sequence[Job], rng: np.random.Generator) -> tuple[Job, ...]:
    """The same arrivals, with exponential sizes of mean 1 and everywhere the mean lengths of ``jobs``."""
    sizes = rng.exponential(1.0, len(jobs)).tolist()
    input_tokens = round(sum(job.input_tokens for job in jobs) / len(jobs))
    output_tokens = round(sum(job.output_tokens for job in jobs) / len(jobs))
    return tuple(Job(job.arrival, size, input_tokens, output_tokens) for job, size in zip(jobs, sizes, strict=True))


def _check_rate(rate: float) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise ClusterInvalid(f"the arrival rate is {rate:g}; give jobs per second above 0")


def _read_line(number: int, line: str) -> tuple[datetime, int, int]:
    fields = line.strip().split(",")
    if len(fields) != 3:
        raise ClusterInvalid(f"line {number} of the trace has {len(fields)} fields; write {TRACE_HEADER}")
    try:
        moment = datetime.fromisoformat(fields[0].strip())
    except ValueError:
        shown = fields[0].strip()[:40]
        raise ClusterInvalid(
            f"line {number} of the trace: '{shown}' is no time; write it as 2023-11-16 18:17:03.9799600"
        ) from None
    return moment, _read_tokens(number, fields[1]), _read_tokens(number, fields[2])


def _read_tokens(number: int, field: str) -> int:
    text = field.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_TOKENS)) and int(text) <= MAX_TOKENS):
        raise ClusterInvalid(
            f"line {number} of the trace: '{text[:40]}' is no number of tokens; write a whole number up to {MAX_TOKENS}"
        )
    return int(text)


def _at_rate(jobs: Sequence[Job], rate: float) -> tuple[Job, ...]:
    _check_rate(rate)
    seconds = jobs[-1].arrival
    if seconds == 0:
        raise ClusterInvalid("the jobs of the trace all arrive at once; no arrival rate can be given to them")
    stretch = (len(jobs) - 1) / seconds / rate
    return tuple(replace(job, arrival=job.arrival * stretch) for job in jobs)
