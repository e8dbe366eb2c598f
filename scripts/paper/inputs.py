"""Round-trip times and requests: measured ones from files, or synthetic stand-ins that say so."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from paper.settings import TRACE_JOBS
from routing.errors import ClusterInvalid
from routing.simulation import Job, trace_jobs

RTT_COLUMN = "latency_m1"
"""Milliseconds: the first of the four measurements of each row of the RIPE Atlas file."""
SYNTHETIC = "synthetic"
SYNTHETIC_MEDIAN, SYNTHETIC_SIGMA, SYNTHETIC_COUNT = 0.013, 0.64, 4000
"""Seconds, and the deviation of their logarithm."""

BURST_JOBS = 200
"""Requests of a synthetic burst: as many as lie between the long pauses of the trace, on average."""
TRACE_RATE, TRACE_VARIATION = 2.57, 13.15
"""Requests per second of the trace, and the standard deviation of its inter-arrival times over their mean."""
TRACE_INPUT = (2048.0, 1973.0)
TRACE_OUTPUT = (28.0, 60.0)
"""Mean and standard deviation of tokens."""

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is not the paper's own: where servers are, and what people ask."""

    rtts: Seconds
    """Round-trip times to draw from."""
    rtt_source: str
    trace: tuple[Job, ...]
    trace_source: str


def load_inputs(rtt_path: Path | None, trace_path: Path | None, seed: int) -> Inputs:
    """Measured values where a path is given, else synthetic ones. Raises ClusterInvalid for files of another format."""
    rtts = synthetic_rtts(np.random.default_rng([seed, 1])) if rtt_path is None else read_rtts(rtt_path)
    trace = synthetic_trace(np.random.default_rng([seed, 2])) if trace_path is None else read_trace(trace_path)
    return Inputs(
        rtts,
        SYNTHETIC if rtt_path is None else rtt_path.name,
        trace,
        SYNTHETIC if trace_path is None else trace_path.name,
    )


def read_rtts(path: Path) -> Seconds:
    """All positive round-trip times of column RTT_COLUMN, in seconds."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            if RTT_COLUMN not in (rows.fieldnames or ()):
                raise ClusterInvalid(f"{path} has no column {RTT_COLUMN}; give round-trip times in milliseconds there")
            values = [float(row[RTT_COLUMN]) for row in rows if row[RTT_COLUMN]]
    except (OSError, ValueError) as error:
        raise ClusterInvalid(f"{path} cannot be read as round-trip times: {error}") from error
    rtts = np.array([value / 1000 for value in values if math.isfinite(value) and value > 0])
    if len(rtts) == 0:
        raise ClusterInvalid(f"{path} holds no round-trip time above 0")
    return rtts


def read_trace(path: Path) -> tuple[Job, ...]:
    """The first TRACE_JOBS requests, as they came."""
    try:
        with path.open(encoding="utf-8") as stream:
            return trace_jobs(stream, limit=TRACE_JOBS)
    except (OSError, ValueError) as error:
        raise ClusterInvalid(f"{path} cannot be read as a trace: {error}") from error


def synthetic_rtts(rng: np.random.Generator) -> Seconds:
    """Log-normal, with the median of the measured ones."""
    return rng.lognormal(math.log(SYNTHETIC_MEDIAN), SYNTHETIC_SIGMA, SYNTHETIC_COUNT)


def synthetic_trace(rng: np.random.Generator) -> tuple[Job, ...]:
    """Bursts of requests and pauses; its expected mean and deviation of gaps and lengths are those of the trace."""
    share = 1 / BURST_JOBS
    mean = 1 / TRACE_RATE
    # One gap in BURST_JOBS is a pause and both kinds are exponential, so the mean of all gaps is
    # share·pause + (1 - share)·gap and that of their squares about 2·share·pause², as gaps are short.
    pause = mean * math.sqrt((1 + TRACE_VARIATION**2) / (2 * share))
    gap = (mean - share * pause) / (1 - share)
    pauses = np.arange(1, TRACE_JOBS + 1) % BURST_JOBS == 0
    gaps = rng.exponential(np.where(pauses, pause, gap))
    arrivals = np.cumsum(gaps) - gaps[0]
    return tuple(
        Job(arrival, 1.0, max(round(tokens_in), 1), max(round(tokens_out), 1))
        for arrival, tokens_in, tokens_out in zip(
            arrivals.tolist(), _lengths(TRACE_INPUT, rng), _lengths(TRACE_OUTPUT, rng), strict=True
        )
    )


def _lengths(moments: tuple[float, float], rng: np.random.Generator) -> list[float]:
    mean, deviation = moments
    shape = (mean / deviation) ** 2
    return rng.gamma(shape, mean / shape, TRACE_JOBS).tolist()
