"""The event loop: jobs arrive, start where a policy sends them, and end."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np

from routing.errors import ClusterInvalid
from routing.simulation.result import SimulationResult
from routing.simulation.service_time import Route, ServerTime
from routing.simulation.workload import Job


class Start(NamedTuple):
    """``job`` starts now on ``route`` and keeps its cache until it ends."""

    job: int
    """Place in the list of jobs."""
    route: Route


class Wake(NamedTuple):
    """Call the dispatcher's wake() for ``job`` at the time ``at`` (seconds), now or later."""

    job: int
    at: float


class Dispatcher(Protocol):
    """State of one simulation: which jobs run where, which wait. Owned by simulate(), ends with it.

    Jobs are known by their place in the list of jobs. A dispatcher may look at a job only from its arrival on. Each
    call gives the jobs that start now, and when to be called again for a job that waits for a time rather than for
    another's end. Every job must be started exactly once.
    """

    def arrive(self, job: int, now: float) -> Sequence[Start | Wake]:
        """A job comes."""

    def depart(self, job: int, now: float) -> Sequence[Start | Wake]:
        """A job that was started ends."""

    def wake(self, job: int, now: float) -> Sequence[Start | Wake]:
        """The time has come that was asked for with Wake; never where none was."""
        return ()


class Policy(Protocol):
    """Where blocks are and how jobs are dispatched; immutable, so that it may be simulated many times."""

    @property
    def name(self) -> str: ...

    def dispatcher(self, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator) -> Dispatcher:
        """For one simulation of these ``jobs``; ``times`` are by server."""


_DEPARTURE, _WAKE = 0, 1
"""Kinds of event; at the same moment departures come first, then wakes, then arrivals."""


def simulate(
    policy: Policy, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator
) -> SimulationResult:
    """Run all ``jobs`` (in order of arrival) to their end under ``policy``; ``times`` has one entry for each server.

    Jobs that end at the same moment do so in the order in which they started. Raises ClusterInvalid if there are no
    jobs or they are out of order, and whatever the policy raises for jobs that it can never serve.
    """
    if not jobs:
        raise ClusterInvalid("there are no jobs to simulate; give at least 1")
    arrivals = [job.arrival for job in jobs]
    if any(later < earlier for earlier, later in pairwise(arrivals)):
        raise ClusterInvalid("the jobs are not in order of arrival; sort them")
    dispatcher = policy.dispatcher(jobs, times, rng)
    starts = [float("nan")] * len(jobs)
    ends = [float("nan")] * len(jobs)
    routes: list[Route | None] = [None] * len(jobs)
    agenda: list[tuple[float, int, int, int]] = []
    scheduled = 0
    arrived = 0
    while agenda or arrived < len(jobs):
        if agenda and (arrived == len(jobs) or agenda[0][0] <= arrivals[arrived]):
            now, kind, _, index = heapq.heappop(agenda)
            decisions = dispatcher.depart(index, now) if kind == _DEPARTURE else dispatcher.wake(index, now)
        else:
            now = arrivals[arrived]
            decisions = dispatcher.arrive(arrived, now)
            arrived += 1
        for decision in decisions:
            scheduled += 1
            index = decision.job
            if isinstance(decision, Start):
                assert routes[index] is None, "a job is started once"
                routes[index] = decision.route
                starts[index] = now
                end = now + decision.route.time.seconds(jobs[index])
                ends[index] = end
                heapq.heappush(agenda, (end, _DEPARTURE, scheduled, index))
            else:
                heapq.heappush(agenda, (decision.at, _WAKE, scheduled, index))
    taken = tuple(route for route in routes if route is not None)
    assert len(taken) == len(jobs), "a policy starts every job"
    return SimulationResult(np.array(arrivals), np.array(starts), np.array(ends), taken)
