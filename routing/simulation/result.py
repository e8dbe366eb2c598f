"""What a simulation found: times of all jobs, and figures that sum them up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from routing.errors import ClusterInvalid
from routing.simulation.service_time import Route

BATCHES = 20
"""Batches of consecutive jobs for an interval of the mean: each long enough to be nearly independent of the next."""
_STUDENT_95 = 2.093
"""97.5 % point of Student's t with BATCHES - 1 degrees of freedom."""

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """One time over all jobs, in seconds."""

    mean: float
    median: float
    p95: float
    p99: float
    mean_interval: float
    """Half the width of the mean's 95 % confidence interval (batch means); NaN for fewer than two jobs a batch."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How the jobs fared."""

    jobs: int
    """Jobs counted, after those of the warm-up were left out."""
    response: Spread
    """Arrival to end."""
    wait: Spread
    """Arrival to start."""
    service: Spread
    """Start to end."""


@dataclass(frozen=True, slots=True, eq=False)
class SimulationResult:
    """Seconds of every job, in order of arrival; arrays of length n for n jobs."""

    arrival: Seconds
    start: Seconds
    end: Seconds
    routes: tuple[Route, ...]
    """Where each job ran."""

    @property
    def response(self) -> Seconds:
        """Arrival to end."""
        return self.end - self.arrival

    @property
    def wait(self) -> Seconds:
        """Arrival to start."""
        return self.start - self.arrival

    @property
    def service(self) -> Seconds:
        """Start to end."""
        return self.end - self.start

    def summary(self, warm_up: float = 0.0) -> Summary:
        """Figures over all jobs but the share ``warm_up`` that arrived first.

        Raises ClusterInvalid unless 0 ≤ warm_up < 1.
        """
        if not 0 <= warm_up < 1:
            raise ClusterInvalid(f"the warm-up is {warm_up:g}; give a share of the jobs of at least 0 and below 1")
        skipped = int(warm_up * len(self.arrival))
        return Summary(
            jobs=len(self.arrival) - skipped,
            response=_spread(self.response[skipped:]),
            wait=_spread(self.wait[skipped:]),
            service=_spread(self.service[skipped:]),
        )


def _spread(seconds: Seconds) -> Spread:
    median, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return Spread(float(seconds.mean()), float(median), float(p95), float(p99), _mean_interval(seconds))


def _mean_interval(seconds: Seconds) -> float:
    if len(seconds) < 2 * BATCHES:
        return float("nan")
    length = len(seconds) // BATCHES
    means = seconds[: length * BATCHES].reshape(BATCHES, length).mean(axis=1)
    return float(_STUDENT_95 * means.std(ddof=1) / np.sqrt(BATCHES))
