"""The integer program of Figure 4: the fewest slots, over all chains of a placement, that reach a rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from routing.plan.cluster import ModelShape, Server, cache_slots
from routing.span import Span

MAX_CHAINS = 200_000
"""Chains that are enumerated; 20 servers give some thousands."""
TIME_LIMIT_SECONDS = 20.0
"""For one integer program; its lower bound is taken if it has not finished."""


class Fewest(NamedTuple):
    slots: int
    proven: bool
    """Else the solver ran out of time and ``slots`` is a lower bound."""


def fewest_slots(
    servers: Sequence[Server],
    model: ModelShape,
    spans: Sequence[Span | None],
    rates: Sequence[float],
    known: Sequence[int | None],
) -> tuple[Fewest | None, ...]:
    """For each rate the least Σ c_k with Σ c_k·μ_k ≥ rate; None where no allocation reaches it.

    ``known`` are slots that some allocation needs; the relaxed program alone proves most of them optimal.
    """
    chains = list(_all_chains(model, spans))
    speeds = np.array([1 / sum(servers[j].job_seconds(length) for j, length in chain) for chain in chains])
    entries = [(j, k, length) for k, chain in enumerate(chains) for j, length in chain]
    used = csr_array(
        ([length for _, _, length in entries], ([j for j, _, _ in entries], [k for _, k, _ in entries])),
        shape=(len(servers), len(chains)),
    )
    slots = np.array(
        [
            0 if span is None else cache_slots(server, model, len(span))
            for server, span in zip(servers, spans, strict=True)
        ]
    )
    memory = LinearConstraint(used, -np.inf, slots)
    return tuple(_solve(memory, speeds, rate, each) for rate, each in zip(rates, known, strict=True))


def _solve(memory: LinearConstraint, speeds: np.ndarray, rate: float, known: int | None) -> Fewest | None:
    ones = np.ones_like(speeds)
    constraints = [memory, LinearConstraint(speeds[np.newaxis, :], rate, np.inf)]
    relaxed = milp(ones, constraints=constraints, bounds=Bounds(0, np.inf))
    if not relaxed.success:
        return None
    least = math.ceil(relaxed.fun - 1e-6)
    if least == known:
        return Fewest(least, True)
    solved = milp(
        ones,
        constraints=constraints,
        bounds=Bounds(0, np.inf),
        integrality=ones,
        options={"time_limit": TIME_LIMIT_SECONDS},
    )
    if solved.success:
        return Fewest(round(solved.fun), True)
    bound = solved.mip_dual_bound
    return None if bound is None else Fewest(max(least, math.ceil(bound - 1e-6)), False)


def _all_chains(model: ModelShape, spans: Sequence[Span | None]) -> list[tuple[tuple[int, int], ...]]:
    """All ways from the first block to the last, as (server, blocks processed)."""
    found: list[tuple[tuple[int, int], ...]] = []
    open_ways: list[tuple[int, tuple[tuple[int, int], ...]]] = [(0, ())]
    while open_ways:
        boundary, way = open_ways.pop()
        if boundary == model.blocks:
            found.append(way)
            if len(found) > MAX_CHAINS:
                raise OverflowError(f"the placement has over {MAX_CHAINS:,} chains; use fewer servers")
            continue
        for server, span in enumerate(spans):
            if span is not None and span.start <= boundary < span.end:
                open_ways.append((span.end, (*way, (server, span.end - boundary))))
    return found
