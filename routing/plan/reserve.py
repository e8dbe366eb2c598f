"""How many jobs every chain should have room for: the choice of c."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from routing.errors import ClusterInvalid, MemoryTooSmall, Overloaded
from routing.plan.cluster import ROUNDING, Chain, ModelShape, Server, check_servers, hosted_blocks, total_rate, whole
from routing.plan.gbp_cr import Placement, chains_for_rate, gbp_cr
from routing.plan.gca import gca
from routing.plan.response_time import ResponseBounds, response_time_bounds
from routing.span import Span

TARGET_LOAD = 0.7
"""ρ̄: share of the chains' rate that jobs should take up (arXiv 2604.14993, section 5)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one c would give; None where the chains do not exist or cannot carry the load."""

    reserve: int
    """c."""
    chains: int
    """Chains that GCA finds."""
    rate: float
    """ν of those chains, jobs per second."""
    surrogate: int | None
    """c·K(c): slots on the disjoint chains needed for λ/ρ̄."""
    bounds: ResponseBounds | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A placement with its chains, and what was compared to find it."""

    reserve: int
    placement: Placement
    chains: tuple[Chain, ...]
    """Fastest first."""
    bounds: ResponseBounds
    candidates: tuple[Candidate, ...]


def reserves(servers: Sequence[Server], model: ModelShape) -> range:
    """Every c that leaves some server room for one block: 1..⌊(max M_j - s_m)/s_c⌋."""
    most = max(server.memory_bytes for server in servers) - model.block_bytes
    return range(1, whole(max(most, 0.0), model.cache_bytes) + 1)


def choose_reserve(
    servers: Sequence[Server],
    model: ModelShape,
    arrival_rate: float,
    *,
    stop_early: bool = False,
    candidates: Sequence[int] | None = None,
) -> Plan:
    """The plan whose c has the least lower bound on mean response time (arXiv 2604.14993, section 3.1.3).

    For each c (all of reserves() unless ``candidates`` are given) GBP-CR places, GCA makes chains and Theorem 4
    bounds; among equal bounds the smallest c is taken. ``stop_early`` applies the paper's stop rule with
    TARGET_LOAD (ρ̄), which leaves servers unused once the rate is met. ``arrival_rate`` is λ in jobs per second.

    Raises ClusterInvalid for what no cluster can be, MemoryTooSmall if no c lets the servers hold all blocks,
    Overloaded if none carries the rate.
    """
    check_servers(servers, model)
    if not 0 < arrival_rate < float("inf"):
        raise ClusterInvalid(f"the arrival rate is {arrival_rate:g}; give jobs per second above 0")
    compared: list[Candidate] = []
    best: Plan | None = None
    known: dict[tuple[Span | None, ...], Candidate] = {}
    hosting = _Hosting(servers, model)
    placement: Placement | None = None
    for reserve in reserves(servers, model) if candidates is None else candidates:
        per_slot = arrival_rate / (TARGET_LOAD * reserve)
        if placement is None or stop_early or hosting.changes(reserve):
            placement = gbp_cr(servers, model, reserve, stop_at_rate=per_slot if stop_early else None)
        needed = chains_for_rate(placement, per_slot)
        surrogate = None if needed is None else reserve * needed
        twin = known.get(placement.spans)
        if twin is not None:
            compared.append(replace(twin, reserve=reserve, surrogate=surrogate))
            continue
        chains = gca(servers, model, placement.spans)
        rate = total_rate(chains)
        bounds = response_time_bounds(chains, arrival_rate) if arrival_rate < rate else None
        compared.append(Candidate(reserve, len(chains), rate, surrogate, bounds))
        known[placement.spans] = compared[-1]
        if bounds is not None and (best is None or bounds.lower < best.bounds.lower):
            best = Plan(reserve, placement, chains, bounds, ())
    if best is None:
        raise _why_none(servers, model, arrival_rate, compared)
    return replace(best, candidates=tuple(compared))


class _Hosting:
    """The blocks that each server holds, all that a placement of all servers depends on: many c share them."""

    def __init__(self, servers: Sequence[Server], model: ModelShape) -> None:
        self._memory = np.array([server.memory_bytes for server in servers])
        self._model = model
        self._counts = b""

    def changes(self, reserve: int) -> bool:
        """Whether they differ from those of the c that was asked for before."""
        before = self._counts
        quotient = self._memory / (self._model.block_bytes + reserve * self._model.cache_bytes)
        self._counts = np.minimum(np.floor(quotient + ROUNDING * quotient), self._model.blocks).tobytes()
        return self._counts != before


def _why_none(
    servers: Sequence[Server], model: ModelShape, arrival_rate: float, compared: Sequence[Candidate]
) -> MemoryTooSmall | Overloaded:
    most = max(compared, key=lambda candidate: candidate.rate, default=None)
    if most is not None and most.rate > 0:
        return Overloaded(
            f"jobs arrive at {arrival_rate:.6g}/s but all chains together serve at most {most.rate:.6g}/s "
            f"(with room for {most.reserve} a chain); add servers or lower the arrival rate"
        )
    reserve = min((candidate.reserve for candidate in compared), default=1)
    held = sum(hosted_blocks(server, model, reserve) for server in servers)
    jobs = "1 job" if reserve == 1 else f"{reserve} jobs"
    return MemoryTooSmall(
        f"the servers hold {held} of {model.blocks} blocks with cache for {jobs} each; "
        f"add memory for {model.blocks - held} more"
    )
