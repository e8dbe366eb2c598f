"""CG-BP: the block placement of BPRR, for a given number of concurrent jobs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from routing.errors import ClusterInvalid, MemoryTooSmall
from routing.plan.cluster import ModelShape, Server, cache_slots, hosted_blocks
from routing.simulation.links import LinkGraph
from routing.span import Span

_SLOWER_THAN_ALL = 1.05
"""Time per block of capacity that no server gives yet, relative to the slowest server: it only has to be worse."""


def cg_bp(servers: Sequence[Server], model: ModelShape, concurrent: int) -> tuple[Span | None, ...]:
    """Place blocks so that ``concurrent`` jobs (|R|) can run at once (arXiv 2512.21884, conservative greedy placement).

    Every server takes as many blocks as it can cache |R| jobs for and is placed in order of its time per block. While
    a block lacks capacity for |R| jobs, a server takes the window that has such a block and the largest sum of times
    over its blocks and jobs, where capacity that is still missing counts as slower than any server; after that the
    window whose sorted capacities are lexicographically least.

    Raises MemoryTooSmall if a block is left short of |R| jobs.
    """
    if concurrent < 1:
        raise ClusterInvalid(f"{concurrent} concurrent jobs cannot be planned for; give at least 1")
    counts = [hosted_blocks(server, model, concurrent) for server in servers]
    per_block = {index: servers[index].job_seconds(count) / count for index, count in enumerate(counts) if count > 0}
    spans: list[Span | None] = [None] * len(servers)
    missing = _SLOWER_THAN_ALL * max(per_block.values(), default=0.0)
    capacity = np.zeros(model.blocks)
    seconds = np.full(model.blocks, concurrent * missing)
    for index in sorted(per_block, key=lambda index: (per_block[index], index)):
        count = counts[index]
        capacities = np.lib.stride_tricks.sliding_window_view(capacity, count)
        if (capacity < concurrent).any():
            sums = np.lib.stride_tricks.sliding_window_view(seconds, count).sum(axis=1)
            start = int(np.where((capacities < concurrent).any(axis=1), sums, -np.inf).argmax())
        else:
            start = int(np.lexsort(np.sort(capacities, axis=1).T[::-1])[0])
        jobs = cache_slots(servers[index], model, count) // count
        window = slice(start, start + count)
        short = np.minimum(np.maximum(concurrent - capacity[window], 0), jobs)
        seconds[window] -= (missing - per_block[index]) * short
        capacity[window] += jobs
        spans[index] = Span(start, start + count)
    if (capacity < concurrent).any():
        raise MemoryTooSmall(
            f"the servers do not hold all {model.blocks} blocks with cache for {concurrent} jobs at once; "
            "add memory or plan for fewer jobs"
        )
    return tuple(spans)


def design_number(servers: Sequence[Server], model: ModelShape, arrival_rate: float) -> int:
    """|R|: how many concurrent jobs CG-BP should plan for when jobs arrive at ``arrival_rate`` per second.

    The mean and one standard deviation of a Poisson number of jobs that each take the time T of a lone job (the
    shortest path with |R| = 1): λT + √(λT), rounded, but at most ⌊(ΣM_j - s_m·(L+J)) / (s_c·(L+J))⌋, up to which
    all blocks surely find a place; this is the rule of the authors' published simulations. Where memory is so scarce
    that this bound is below 1, it is 1. Raises MemoryTooSmall if not even one job fits.
    """
    if not (math.isfinite(arrival_rate) and arrival_rate > 0):
        raise ClusterInvalid(f"the arrival rate is {arrival_rate:g}; give jobs per second above 0")
    lone = LinkGraph(servers, model, cg_bp(servers, model, 1), "CG-BP")
    jobs = arrival_rate * math.fsum(lone.seconds[link] for link in lone.fastest)
    pieces = model.blocks + len(servers)
    memory = math.fsum(server.memory_bytes for server in servers)
    most = math.floor((memory - model.block_bytes * pieces) / (model.cache_bytes * pieces))
    return max(1, min(round(jobs + math.sqrt(jobs)), most))
