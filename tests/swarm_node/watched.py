"""Real blocks under watch, for tests of the engine: what it runs together, what it leaves, what it survives."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import torch
import trio

from routing.errors import SwarmError
from routing.span import Span
from swarm_node.compute.cache import Row, SequenceCache
from swarm_node.compute.span import BlockSpan
from swarm_node.engine.engine import Engine
from swarm_node.engine.reservation import HostedStep, Reservation

WIDTH = 48
ALL = Span(0, 4)


class Watched:
    """Real blocks that note every batch, wait at a gate, and fail when a test says so."""

    def __init__(self, blocks: BlockSpan) -> None:
        self._blocks = blocks
        self.span, self.hidden_size, self.device = blocks.span, blocks.hidden_size, blocks.device
        self.batches: list[list[int]] = []
        self.spans: list[Span | None] = []
        self.caches: list[SequenceCache] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.poison: float | None = None

    def keep(self, span: Span) -> None:
        self.span = span

    def extend(self, other: Watched) -> None:
        self.span = Span(min(self.span.start, other.span.start), max(self.span.end, other.span.end))

    def new_cache(self, max_tokens: int) -> SequenceCache:
        self.caches.append(self._blocks.new_cache(max_tokens))
        return self.caches[-1]

    def session_tokens(self, max_tokens: int, span: Span) -> int:
        return self._blocks.session_tokens(max_tokens, span)

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, span: Span | None = None) -> torch.Tensor:
        self.batches.append([row.tokens for row in rows])
        self.spans.append(span)
        self.entered.release()
        assert self.gate.wait(10)
        if self.poison is not None and (hidden == self.poison).any():
            raise RuntimeError("poisoned")
        return self._blocks.step(rows, hidden, span)

    async def has_entered(self) -> None:
        await trio.to_thread.run_sync(self.entered.acquire)


Start = Callable[[str, Span], Watched]
"""Blocks for a node of that name."""


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        with trio.fail_after(30):
            await main()

    trio.run(limited)


@asynccontextmanager
async def gate_shut(watched: Watched) -> AsyncIterator[None]:
    """Batches stop inside the blocks until the end of this block."""
    watched.gate.clear()
    try:
        yield
    finally:
        watched.gate.set()


def random_hidden(tokens: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(tokens, WIDTH, generator=torch.Generator().manual_seed(seed))


def alone(blocks: BlockSpan, hidden: torch.Tensor, span: Span = ALL) -> torch.Tensor:
    return blocks.step([Row(blocks.new_cache(len(hidden)), len(hidden))], hidden, span)


def assert_close(output: object, expected: torch.Tensor) -> None:
    """Equal but for rounding: batches of other shapes add up in another order."""
    assert isinstance(output, torch.Tensor)
    torch.testing.assert_close(output, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


async def one_step(engine: Engine, reservation: Reservation, hidden: torch.Tensor, position: int) -> torch.Tensor:
    """What comes of a single step; raises what it fails with."""
    step = HostedStep(reservation, hidden, position)
    await engine.run([step])
    if isinstance(step.outcome, SwarmError):
        raise step.outcome
    return step.output


async def until_waiting(engine: Engine, steps: int) -> None:
    """Let the other tasks run until so many steps have come in."""
    while sum(len(reservation.steps) for reservation in engine._queue.reservations) < steps:
        await trio.lowlevel.checkpoint()
