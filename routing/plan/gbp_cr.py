"""Greedy block placement with cache reservation: which blocks each server of a cluster hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from routing.plan.cluster import ModelShape, Server, hosted_blocks
from routing.span import Span


@dataclass(frozen=True, slots=True)
class Placement:
    """What gbp_cr decided for a cluster of J servers."""

    spans: tuple[Span | None, ...]
    """Blocks of each server, None for one left out; length J."""
    chain_seconds: tuple[float, ...]
    """Service time of each full disjoint chain, in the order they were formed."""
    chains: tuple[tuple[int, ...], ...]
    """Servers of each full disjoint chain, first blocks first."""


def gbp_cr(servers: Sequence[Server], model: ModelShape, reserve: int, stop_at_rate: float | None = None) -> Placement:
    """Place blocks so that disjoint chains form, the fastest servers first (arXiv 2604.14993, Algorithm 1).

    Every server keeps cache for ``reserve`` jobs (c) on all its blocks; one that cannot keep them beside a single
    block is left out. Servers are taken by increasing time per block, ties by their order, and each continues where
    the last one ended; the last of a chain is shifted back so that it overlaps, never truncated. O(J log J). With
    equal memories it needs the fewest chains for a rate (Theorem 2).

    ``stop_at_rate`` is the paper's stop rule: λ/(ρ̄·c), the sum of 1/T_k over chains (1/s) from which on further
    servers stay unused. Without it all servers are placed, also those that no longer complete a chain.
    """
    spans: list[Span | None] = [None] * len(servers)
    chains: list[tuple[int, ...]] = []
    chain_seconds: list[float] = []
    links: list[int] = []
    first, seconds, rate = 0, 0.0, 0.0
    for index, count in _by_time_per_block(servers, model, reserve):
        start = min(first, model.blocks - count)
        spans[index] = Span(start, start + count)
        links.append(index)
        seconds += servers[index].job_seconds(count)
        first = start + count
        if first == model.blocks:
            chains.append(tuple(links))
            chain_seconds.append(seconds)
            rate += 1 / seconds
            if stop_at_rate is not None and rate >= stop_at_rate:
                break
            links, first, seconds = [], 0, 0.0
    return Placement(tuple(spans), tuple(chain_seconds), tuple(chains))


def chains_for_rate(placement: Placement, rate: float) -> int | None:
    """K(c): the disjoint chains whose 1/T_k sum to ``rate`` (1/s; the paper asks for λ/(ρ̄·c)); None if all do not."""
    served = 0.0
    for count, seconds in enumerate(placement.chain_seconds, start=1):
        served += 1 / seconds
        if served >= rate:
            return count
    return None


def _by_time_per_block(servers: Sequence[Server], model: ModelShape, reserve: int) -> list[tuple[int, int]]:
    counts = [hosted_blocks(server, model, reserve) for server in servers]
    usable = [index for index, count in enumerate(counts) if count > 0]
    usable.sort(key=lambda index: (servers[index].job_seconds(counts[index]) / counts[index], index))
    return [(index, counts[index]) for index in usable]
