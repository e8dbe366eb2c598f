"""Bounds on the mean response time of join-the-fastest-free-chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from routing.errors import Overloaded
from routing.plan.cluster import Chain, total_rate


@dataclass(frozen=True, slots=True)
class ResponseBounds:
    """Mean seconds from a job's arrival to its end lie between these."""

    lower: float
    upper: float


def response_time_bounds(chains: Sequence[Chain], arrival_rate: float) -> ResponseBounds:
    """Bounds for Poisson arrivals of ``arrival_rate`` (λ, 1/s) and exponential job sizes (arXiv 2604.14993, Theorem 4).

    With n jobs present the chains serve at most as if the jobs sat on the fastest slots and at least as if they sat
    on the slowest; each gives a birth–death chain whose mean occupancy E[N] bounds JFFC's, and E[T] = E[N]/λ
    (Little). Products are taken in log space, since there may be many thousands of slots. O(C) for C slots.

    Raises Overloaded unless λ < ν = Σ c_k·μ_k.
    """
    rate = total_rate(chains)
    if not arrival_rate < rate:
        raise Overloaded(
            f"jobs arrive at {arrival_rate:.6g}/s but all chains together serve {rate:.6g}/s; "
            "add servers or lower the arrival rate"
        )
    slot_rates = np.repeat(
        np.array([1 / chain.service_seconds for chain in chains]), np.array([chain.capacity for chain in chains])
    )
    slot_rates[::-1].sort()
    return ResponseBounds(
        lower=_mean_jobs(np.cumsum(slot_rates), arrival_rate) / arrival_rate,
        upper=_mean_jobs(np.cumsum(slot_rates[::-1]), arrival_rate) / arrival_rate,
    )


def _mean_jobs(death_rates: npt.NDArray[np.float64], arrival_rate: float) -> float:
    """E[N] of a birth–death chain with death rate ``death_rates[n-1]`` at n jobs, its last entry for all larger n."""
    slots = len(death_rates)
    load = arrival_rate / death_rates[-1]
    log_weights = np.concatenate(([0.0], np.cumsum(np.log(arrival_rate / death_rates))))
    weights = np.exp(log_weights - log_weights.max())
    below, at_capacity = weights[:-1], weights[-1]
    jobs = np.arange(slots) @ below + at_capacity * (load / (1 - load) ** 2 + slots / (1 - load))
    return float(jobs / (below.sum() + at_capacity / (1 - load)))
