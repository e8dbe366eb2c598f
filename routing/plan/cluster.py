"""Servers, a model and the chains over them, as arXiv 2604.14993, section 2.1 describes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from routing.errors import ClusterInvalid
from routing.span import Span

MAX_BLOCKS = 1_000
"""Blocks of a model: eight times the deepest one published; GCA holds a matrix of this width."""
MAX_SLOTS = 1_000_000
"""Jobs whose cache for one block a server may hold: more means bytes were given in a wrong unit."""

ROUNDING = 4 * 2.0**-52
"""Relative error that a quotient of two sums of bytes may have."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What a model costs to host. Raises ClusterInvalid for sizes that no model has."""

    blocks: int
    """L."""
    block_bytes: float
    """s_m: weights of one block."""
    cache_bytes: float
    """s_c: cache of one job for one block, at the maximum session length."""

    def __post_init__(self) -> None:
        if not 1 <= self.blocks <= MAX_BLOCKS:
            raise ClusterInvalid(f"the model has {self.blocks:,} blocks; give 1 to {MAX_BLOCKS:,}")
        _require_positive("the model's block_bytes", self.block_bytes)
        _require_positive("the model's cache_bytes", self.cache_bytes)


@dataclass(frozen=True, slots=True)
class Server:
    """One machine. Raises ClusterInvalid for memory or times that no machine has."""

    name: str
    memory_bytes: float
    """M_j: what it gives for weights and cache."""
    comm_seconds: float
    """τc_j: mean communication time that it adds to one whole job."""
    compute_seconds: float
    """τp_j: mean computation time of one whole job per block."""

    def __post_init__(self) -> None:
        _require_positive(f"server {self.name}: memory_bytes", self.memory_bytes)
        _require_positive(f"server {self.name}: comm_seconds", self.comm_seconds, zero=True)
        _require_positive(f"server {self.name}: compute_seconds", self.compute_seconds, zero=True)
        if self.comm_seconds + self.compute_seconds == 0:
            raise ClusterInvalid(f"server {self.name}: comm_seconds and compute_seconds are both 0; give its times")

    def job_seconds(self, blocks: int) -> float:
        """Mean time of one whole job on ``blocks`` of this server's blocks: τc_j + τp_j·m."""
        return self.comm_seconds + self.compute_seconds * blocks


def check_servers(servers: Sequence[Server], model: ModelShape) -> None:
    """Raises ClusterInvalid if there are none, if two share a name, or if one holds an absurd number of jobs."""
    if not servers:
        raise ClusterInvalid("the cluster has no servers; list at least one")
    names: set[str] = set()
    for server in servers:
        if server.name in names:
            raise ClusterInvalid(f"two servers are named {server.name}; give each its own name")
        names.add(server.name)
        if server.memory_bytes > MAX_SLOTS * model.cache_bytes:
            raise ClusterInvalid(
                f"server {server.name} would hold the cache of over {MAX_SLOTS:,} jobs; "
                "check the units of memory_bytes and cache_bytes"
            )


def whole(amount: float, part: float) -> int:
    """⌊amount/part⌋, where a quotient within rounding error below a whole number counts as that number.

    So 1 holds 0.1 ten times, as a person reckons, though 1 // 0.1 is 9.
    """
    quotient = amount / part
    return math.floor(quotient + ROUNDING * quotient)


def hosted_blocks(server: Server, model: ModelShape, reserve: int) -> int:
    """m_j(c) = min(⌊M_j / (s_m + c·s_c)⌋, L): blocks a server holds with cache for ``reserve`` jobs each."""
    return min(whole(server.memory_bytes, model.block_bytes + reserve * model.cache_bytes), model.blocks)


def cache_slots(server: Server, model: ModelShape, hosted: int) -> int:
    """M̃_j = ⌊(M_j - s_m·m_j) / s_c⌋: job-blocks of cache beside the weights of ``hosted`` blocks.

    Negative if the weights do not fit.
    """
    quotient = (server.memory_bytes - model.block_bytes * hosted) / model.cache_bytes
    return math.floor(quotient + ROUNDING * server.memory_bytes / model.cache_bytes)


@dataclass(frozen=True, slots=True)
class Link:
    """One server's part of a chain: ``span`` is what it processes, not all that it hosts."""

    server: int
    """Index into the cluster's servers."""
    span: Span


@dataclass(frozen=True, slots=True)
class Chain:
    """Servers that together process every block once, with room for ``capacity`` jobs at a time."""

    links: tuple[Link, ...]
    service_seconds: float
    """T_k: mean time of one job, if it need not wait."""
    capacity: int
    """c_k."""

    @property
    def rate(self) -> float:
        """c_k·μ_k, jobs per second when all its slots are busy."""
        return self.capacity / self.service_seconds


def total_rate(chains: Sequence[Chain]) -> float:
    """ν = Σ c_k·μ_k, jobs per second."""
    return math.fsum(chain.rate for chain in chains)


def _require_positive(what: str, value: float, zero: bool = False) -> None:
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ClusterInvalid(f"{what} is {value:g}; give a number {'of at least' if zero else 'above'} 0")
