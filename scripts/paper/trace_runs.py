"""The trace experiment: one policy on one draw of round-trip times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from paper.clusters import TraceCluster, trace_cluster
from paper.settings import SESSION_TOKENS, TRACE_MODEL, TRACE_RESERVE, WHOLE_RESERVE
from paper.study import Study
from routing.errors import SwarmError
from routing.simulation import Job, Policy, build_policy, simulate
from routing.simulation.petals_placement import CACHE_JOBS


class Variant(NamedTuple):
    """A policy with its settings."""

    policy: str
    reserve: int | None = None
    """c, if not the one that the lower bound chooses."""
    paged: bool = False
    cache_jobs: float = CACHE_JOBS
    """Jobs for which PETALS sets cache aside on each block."""
    spare_memory: bool = False
    """Whether the memory that PETALS has left is cache too."""


PETALS = "PETALS"
BPRR = "BPRR"
JFFC_ONLY = "JFFC only"
PROPOSED = "proposed"
PAGED = "proposed, paged"
PAPERS_C = f"proposed, c = {TRACE_RESERVE}"
LARGEST_C = f"proposed, c = {WHOLE_RESERVE}"
PETALS_LARGER_CACHE = "PETALS, cache of 8 jobs"
PETALS_ALL_MEMORY = "PETALS, all memory"
VARIANTS = {
    PETALS: Variant("petals"),
    PETALS_LARGER_CACHE: Variant("petals", cache_jobs=8.0),
    PETALS_ALL_MEMORY: Variant("petals", spare_memory=True),
    BPRR: Variant("bprr"),
    JFFC_ONLY: Variant("jffc-only"),
    PROPOSED: Variant("proposed"),
    LARGEST_C: Variant("proposed", reserve=WHOLE_RESERVE),
    PAPERS_C: Variant("proposed", reserve=TRACE_RESERVE),
    PAGED: Variant("proposed", paged=True),
    f"proposed, paged, c = {TRACE_RESERVE}": Variant("proposed", reserve=TRACE_RESERVE, paged=True),
}


class Cell(NamedTuple):
    variant: Variant
    cluster: TraceCluster
    jobs: tuple[Job, ...]
    seed: tuple[int, ...]


class Measured(NamedTuple):
    """Seconds; all infinite for a policy that cannot carry the trace."""

    mean_response: float = float("inf")
    median_response: float = float("inf")
    p95_response: float = float("inf")
    p99_response: float = float("inf")
    mean_wait: float = float("inf")
    mean_service: float = float("inf")
    slow_share: float = float("nan")
    """Share of jobs that use a slow slice alone."""


def measure(cell: Cell) -> Measured:
    rng = np.random.default_rng(cell.seed)
    try:
        result = simulate(_policy(cell, rng), cell.jobs, cell.cluster.times, rng)
    except SwarmError:
        return Measured()
    summary = result.summary()
    response = summary.response
    slow = [
        all(cell.cluster.servers[link.server].name.startswith("slow") for link in route.links)
        for route in result.routes
    ]
    return Measured(
        response.mean,
        response.median,
        response.p95,
        response.p99,
        summary.wait.mean,
        summary.service.mean,
        float(np.mean(slow)),
    )


def _policy(cell: Cell, rng: np.random.Generator) -> Policy:
    variant = cell.variant
    return build_policy(
        variant.policy,
        cell.cluster.servers,
        TRACE_MODEL,
        arrival_rate(cell.jobs),
        rng,
        reserve=variant.reserve,
        paged=variant.paged,
        session_tokens=SESSION_TOKENS if variant.paged else None,
        petals_cache_jobs=variant.cache_jobs,
        petals_spare_memory=variant.spare_memory,
        output_tokens=sum(job.output_tokens for job in cell.jobs) / len(cell.jobs),
    )


def arrival_rate(jobs: Sequence[Job]) -> float:
    """Mean jobs per second of a trace, which policies plan with."""
    return (len(jobs) - 1) / (jobs[-1].arrival - jobs[0].arrival)


def at_speed(jobs: Sequence[Job], speed: float) -> tuple[Job, ...]:
    """The trace played ``speed`` times as fast."""
    return tuple(replace(job, arrival=job.arrival / speed) for job in jobs)


def draw_clusters(study: Study, jobs: tuple[Job, ...], factor: float, draws: int) -> list[TraceCluster]:
    """The same draws of round-trip times for every factor."""
    return [trace_cluster(study.inputs.rtts, jobs, study.rng(10, draw), factor) for draw in range(draws)]


def average(measured: Sequence[Measured]) -> Measured:
    """Each figure's mean over draws."""
    return Measured(*(float(np.mean(values)) for values in zip(*measured, strict=True)))
