"""Where PETALS servers settle: each joins where the swarm is weakest, and moves if that helps enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from routing.plan.cluster import ModelShape, Server, whole
from routing.span import Span

CACHE_JOBS = 2.0
"""Jobs whose cache a server keeps room for when it counts the blocks that fit. PETALS sets aside 4096 tokens a block
(16384 for models with grouped queries, such as Llama 2 70B), which are 2 jobs of 2048 (bigscience-workshop/petals,
server/server.py, ``attn_cache_tokens``)."""
BALANCE_QUALITY = 0.75
"""A server moves only if that brings the bottleneck's throughput below this share of the best one to 1."""
MAX_ROUNDS = 20
"""Rounds of checks, and of answers within a check, after which a swarm that does not come to rest is left as it is."""

_PREFER_STAYING = 1e-3
"""Share by which a server discounts its own blocks when it compares places, so that equals do not make it move."""

Throughputs = npt.NDArray[np.float64]


def petals_placement(
    servers: Sequence[Server],
    model: ModelShape,
    rng: np.random.Generator,
    *,
    cache_jobs: float = CACHE_JOBS,
    balance_quality: float = BALANCE_QUALITY,
) -> tuple[Span | None, ...]:
    """The blocks of each server once a PETALS swarm has come to rest; None for one that holds no block.

    Servers join in random order. Then they check, again in random order, whether to move, until a whole round passes
    without a move (at most MAX_ROUNDS). A server of m blocks has a throughput of 1/(τp_j·(m+1)/2) jobs a second, since
    jobs use (m+1)/2 of its blocks on average, and at most 1/τc_j (server/throughput.py and block_selection.py there).
    """
    swarm = _Swarm(servers, model, cache_jobs)
    joining = [index for index in range(len(servers)) if swarm.counts[index] > 0]
    for index in rng.permutation(joining).tolist():
        swarm.starts[index] = swarm.weakest(index)
    for _ in range(MAX_ROUNDS):
        moved = False
        for index in rng.permutation(joining).tolist():
            if swarm.should_move(index, balance_quality, rng):
                swarm.starts[index] = swarm.weakest(index)
                moved = True
        if not moved:
            break
    return tuple(
        None if start is None else Span(start, start + count)
        for start, count in zip(swarm.starts, swarm.counts, strict=True)
    )


def weakest_window(throughputs: Throughputs, count: int) -> int:
    """The first of the windows of ``count`` blocks whose throughputs, in rising order, are lexicographically least."""
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(throughputs, count), axis=1)
    best = np.arange(len(windows))
    for position in range(count):
        column = windows[best, position]
        best = best[column == column.min()]
        if len(best) == 1:
            break
    return int(best[0])


class _Swarm:
    """Where all servers are; ``starts`` is None for one that has not joined."""

    def __init__(self, servers: Sequence[Server], model: ModelShape, cache_jobs: float) -> None:
        per_block = model.block_bytes + cache_jobs * model.cache_bytes
        self.counts = [min(whole(server.memory_bytes, per_block), model.blocks) for server in servers]
        self.starts: list[int | None] = [None] * len(servers)
        self._blocks = model.blocks
        self._throughput = [_throughput(server, count) for server, count in zip(servers, self.counts, strict=True)]

    def weakest(self, index: int) -> int:
        """Where this server would go."""
        return weakest_window(self._throughputs(leaving=index), self.counts[index])

    def should_move(self, index: int, balance_quality: float, rng: np.random.Generator) -> bool:
        """Whether the bottleneck would gain enough if this server moved and all others answered."""
        before = float(self._throughputs().min())
        if before > 0 and self._throughputs(leaving=index).min() <= 0:
            return False  # its blocks would be served by nobody while it moves
        start = self.weakest(index)
        if start == self.starts[index]:
            return False
        as_they_are = list(self.starts)
        self.starts[index] = start
        self._answer(rng)
        after = float(self._throughputs().min())
        self.starts = as_they_are
        return after > 0 and before <= after and before / after < balance_quality - _PREFER_STAYING

    def _answer(self, rng: np.random.Generator) -> None:
        joined = [index for index, start in enumerate(self.starts) if start is not None]
        for _ in range(MAX_ROUNDS):
            moved = False
            for index in rng.permutation(joined).tolist():
                start = self.weakest(index)
                moved = moved or start != self.starts[index]
                self.starts[index] = start
            if not moved:
                return

    def _throughputs(self, leaving: int | None = None) -> Throughputs:
        """Jobs per second of each block, less what the ``leaving`` server gives."""
        throughputs = np.zeros(self._blocks)
        for index, start in enumerate(self.starts):
            if start is not None and index != leaving:
                throughputs[start : start + self.counts[index]] += self._throughput[index]
        start = None if leaving is None else self.starts[leaving]
        if leaving is not None and start is not None:
            throughputs[start : start + self.counts[leaving]] -= _PREFER_STAYING * self._throughput[leaving]
        return throughputs


def _throughput(server: Server, count: int) -> float:
    computing = server.compute_seconds * (count + 1) / 2
    return 1 / max(computing, server.comm_seconds) if count > 0 else math.nan
