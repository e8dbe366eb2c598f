"""What arXiv 2604.14993, section 5, fixes: models, machines, loads; and how much of it a run simulates."""

from __future__ import annotations

from dataclasses import dataclass

from routing.plan.cluster import ModelShape
from routing.plan.hardware import BlockWork, Device, block_time

SIMULATED_MODEL = ModelShape(blocks=70, block_bytes=1.32e9, cache_bytes=0.11e9)
"""BLOOM-176B; cache of 2048 tokens."""
SIMULATED_WORK = BlockWork(flops_per_token=5e9, block_bytes=1.32e9)
INPUT_TOKENS, OUTPUT_TOKENS = 2000, 20
SERVERS = 20
FAST_SHARE = 0.2
"""η."""
ARRIVAL_RATE = 0.2
"""λ, jobs per second."""
RESERVE = 7
"""c of Figures 3 and 4."""

TRACE_MODEL = ModelShape(blocks=32, block_bytes=0.4375e9, cache_bytes=0.0336e9)
"""LLaMA-2-7B; cache of 2048 tokens."""
TRACE_WORK = BlockWork(flops_per_token=0.4375e9, block_bytes=0.4375e9)
"""Two operations for each parameter of two bytes; the paper does not say."""
TRACE_FAST, TRACE_SLOW = 3, 6
TRACE_JOBS = 1000
TRACE_RESERVE = 35
"""c* that the paper reports."""
WHOLE_RESERVE = 24
"""The largest c with which a fast slice still holds the whole model."""
SESSION_TOKENS = 2048

HANDLING_SECONDS = 0.018
"""What a server adds to a round trip."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the paper's two kinds of GPU."""

    name: str
    memory_bytes: float
    device: Device

    def compute_seconds(self) -> float:
        """τp of a job of the simulation's mean lengths: 109 ms on the fast kind, 175 ms on the slow one."""
        return block_time(self.device, SIMULATED_WORK).seconds(INPUT_TOKENS, OUTPUT_TOKENS)


FAST = Kind("fast", 40e9, Device(120e12, 1.02e12))
SLOW = Kind("slow", 20e9, Device(80e12, 0.51e12))


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is simulated; the least that still shows something for --quick."""

    runs: int
    """Clusters for each point, each with RTTs and jobs of its own."""
    jobs: int
    """Jobs of one simulation, of which the first WARM_UP are not counted."""
    random_placements: int
    servers: tuple[int, ...]
    """J of Figure 8."""
    fast_shares: tuple[float, ...]
    """η of Figure 8."""
    loads: tuple[float, ...]
    """Of Figure 5."""
    rates: tuple[float, ...]
    """λ of Figure 7, and of the last panel of Figure 8."""
    draws: int
    """RTT draws of the table."""


WARM_UP = 0.1
FULL = Scale(
    runs=20,
    jobs=5000,
    random_placements=100,
    servers=(10, 20, 30, 40),
    fast_shares=(0.1, 0.2, 0.3, 0.4),
    loads=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    rates=(0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0),
    draws=20,
)
QUICK = Scale(
    runs=3,
    jobs=300,
    random_placements=5,
    servers=(10, 20),
    fast_shares=(0.1, 0.4),
    loads=(0.3, 0.6, 0.9),
    rates=(0.2, 1.0),
    draws=1,
)
