"""How fast this machine runs the blocks it hosts, measured before it offers them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from swarm_node.cache import Row
from swarm_node.hosted_model import HostedBlocks
from swarm_node.schedule import BatchLimits
from swarm_node.settings import MEASURE_HISTORY_TOKENS, MEASURE_SECONDS


@dataclass(frozen=True, slots=True)
class ComputeSpeed:
    """Compute time of one session that has the machine to itself."""

    prefill_seconds: float
    """Seconds per prompt token and block."""
    decode_seconds: float
    """Seconds per decode step and block."""


def measure(blocks: HostedBlocks) -> ComputeSpeed:
    """Time slices of prompts, as a busy node runs them, and single tokens, with random hidden states.

    Takes about a second: call it in a thread.
    """
    slice_tokens = BatchLimits.of(blocks.device.type).prefill_beside_decodes
    cache = blocks.new_cache(MEASURE_HISTORY_TOKENS + slice_tokens)
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(slice_tokens, blocks.hidden_size, generator=random)

    def run(position: int, tokens: int) -> None:
        cache.roll_back(position)
        blocks.step([Row(cache, tokens)], hidden[:tokens]).cpu()  # the copy waits for the device

    prefill = median_seconds(lambda: run(0, slice_tokens))
    while cache.length < MEASURE_HISTORY_TOKENS:
        run(cache.length, min(slice_tokens, MEASURE_HISTORY_TOKENS - cache.length))
    decode = median_seconds(lambda: run(MEASURE_HISTORY_TOKENS, 1))
    cache.free()
    return ComputeSpeed(prefill / slice_tokens / len(blocks.span), decode / len(blocks.span))


def median_seconds(run: Callable[[], object]) -> float:
    """Of as many runs as fit into MEASURE_SECONDS, after one that warms caches up and compiles what is for a GPU."""
    run()
    times: list[float] = []
    while sum(times) < MEASURE_SECONDS:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
