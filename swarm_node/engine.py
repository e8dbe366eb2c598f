"""One thread that runs the steps of all sessions in batches, and the cache they share.

async with open_engine(blocks, cache_tokens) as engine:
    reservation = engine.reserve(max_tokens, span)
    output = await engine.step(reservation, hidden, position)
    reservation.release()
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import torch
import trio

from routing.errors import CacheFull, ProtocolError, SwarmError
from routing.span import Span
from swarm_node.block_span import Row
from swarm_node.compute_speed import ComputeSpeed, measure
from swarm_node.engine_meter import EngineMeter
from swarm_node.hosted_blocks import HostedBlocks
from swarm_node.reservation import PendingStep, Reservation
from swarm_node.schedule import BatchLimits, is_decode, next_batch
from swarm_node.settings import DECODES_RECENT_SECONDS

__all__ = ["ComputeSpeed", "Engine", "EngineMeter", "HostedBlocks", "Reservation", "measure", "open_engine"]

logger = logging.getLogger(__name__)

_Result = torch.Tensor | SwarmError
_Share = tuple[PendingStep, int]
"""A step and how many of its tokens run in a batch."""


@asynccontextmanager
async def open_engine(blocks: HostedBlocks, cache_tokens: int) -> AsyncIterator[Engine]:
    """Run ``blocks`` in a thread of their own, with room for ``cache_tokens`` block-tokens of keys and values.

    At the end, steps that wait fail, the batch that runs is waited for, even under cancellation, and the thread is
    joined.
    """
    engine = Engine(blocks, cache_tokens, trio.lowlevel.current_trio_token())
    thread = threading.Thread(target=engine.work, name="swarm-engine", daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        engine.close()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(thread.join)


class Engine:
    """Made by open_engine(), which owns it, and used from the trio thread; only work() runs in the engine's thread."""

    def __init__(self, blocks: HostedBlocks, cache_tokens: int, token: trio.lowlevel.TrioToken) -> None:
        self.capacity_tokens = cache_tokens
        """Block-tokens of cache in all."""
        self._blocks = blocks
        self._limits = BatchLimits.of(blocks.device.type)
        self._token = token
        self._changed = threading.Condition()  # guards everything below
        self._free_tokens = cache_tokens
        self._reservations: set[Reservation] = set()
        self._turns = 0
        self._ended: str | None = None
        """Why there will be no more batches."""
        self._failed = trio.Event()
        self._meter = EngineMeter()
        self._changes: deque[Callable[[], None]] = deque()
        """What to do to the blocks before the next batch."""

    @property
    def free_tokens(self) -> int:
        """Block-tokens that no session holds."""
        with self._changed:
            return max(0, self._free_tokens)

    @property
    def running(self) -> int:
        """Sessions that hold cache."""
        with self._changed:
            return len(self._reservations)

    @property
    def meter(self) -> EngineMeter:
        """Counters and moving means up to now."""
        with self._changed:
            return self._meter

    def reserve(self, max_tokens: int, span: Span) -> Reservation:
        """Hold room for a session of at most ``max_tokens`` tokens in the blocks of ``span``.

        Raises CacheFull if there is no room now, ProtocolError if the blocks are not hosted here.
        """
        if not self._blocks.span.covers(span):
            raise ProtocolError(f"blocks {span} are not among the hosted {self._blocks.span}")
        if max_tokens < 1:
            raise ProtocolError(f"a session of {max_tokens} tokens cannot be reserved")
        needed = max_tokens * len(span)
        with self._changed:
            self._check_open()
            if needed > self._free_tokens:
                free = max(0, self._free_tokens)
                raise CacheFull(
                    f"the cache has room for {free} block-tokens and the session needs {needed}; "
                    "wait for a session to end, or ask for fewer tokens",
                    free,
                )
            self._free_tokens -= needed
            reservation = Reservation(max_tokens, span, self._blocks.new_cache(max_tokens), self._release)
            self._reservations.add(reservation)
        return reservation

    def outside(self, span: Span | None) -> list[Reservation]:
        """The reservations that use blocks beyond ``span``; all of them if it is None."""
        with self._changed:
            return [held for held in self._reservations if span is None or not span.covers(held.span)]

    @property
    def overdrawn(self) -> bool:
        """Whether sessions hold more than there is, since it was made smaller."""
        with self._changed:
            return self._free_tokens < 0

    def resize(self, cache_tokens: int) -> None:
        """Hold room for ``cache_tokens`` block-tokens from now on; where more are held, none is free for a while."""
        with self._changed:
            self._free_tokens += cache_tokens - self.capacity_tokens
            self.capacity_tokens = cache_tokens

    async def change_blocks(self, change: Callable[[HostedBlocks], None]) -> None:
        """Run ``change`` on the blocks in the engine's thread between two batches; it must be quick.

        Raises SwarmError once the engine has ended; if it ends meanwhile, whoever watches it ends the caller.
        """
        done = trio.Event()

        def run() -> None:
            change(self._blocks)
            self._token.run_sync_soon(done.set)

        with self._changed:
            self._check_open()
            self._changes.append(run)
            self._changed.notify()
        await done.wait()

    async def step(self, reservation: Reservation, hidden: torch.Tensor, position: int) -> torch.Tensor:
        """Run ``hidden``, [tokens, hidden size], its first token at ``position``; returns the same shape on the CPU.

        What the cache holds from ``position`` on is forgotten first, so sending a step again is harmless. Cancelling
        drops the step; the cache may then hold some of its tokens, which the next step at their position replaces.
        Raises ProtocolError for a position or shape that does not fit, SwarmError if the blocks failed on this
        step or the session or the engine ended.
        """
        self._check_step(reservation, hidden, position)
        with self._changed:
            self._check_open()
            if reservation.released:
                raise SwarmError("the session has ended")
            self._turns += 1
            step = PendingStep(reservation, hidden.detach().cpu(), position, arrival=self._turns, turn=self._turns)
            reservation.steps.append(step)
            self._changed.notify()
        try:
            await step.finished.wait()
        except BaseException:
            self._drop(step)
            raise
        if isinstance(step.result, SwarmError):
            raise step.result
        assert step.result is not None
        return step.result

    def work(self) -> None:
        """The engine's thread: run batches until close()."""
        try:
            while batch := self._wait_for_batch():
                start = time.perf_counter()
                outputs = self._run(batch)
                self._settle(batch, outputs, time.perf_counter() - start)
        except trio.RunFinishedError:
            pass  # nobody is left to hand results to
        except BaseException as error:
            logger.exception("the engine's thread failed")
            self._end(f"the engine failed ({type(error).__name__}); restart the node")
            self._token.run_sync_soon(self._failed.set)

    async def watch(self) -> None:
        """Raise SwarmError if the engine's thread fails; a node without an engine must not stay in the swarm."""
        await self._failed.wait()
        self._check_open()

    def close(self) -> None:
        """End the thread after the batch that runs now; steps that wait fail."""
        self._end("the node is stopping")

    def _check_open(self) -> None:
        if self._ended is not None:
            raise SwarmError(self._ended)

    def _check_step(self, reservation: Reservation, hidden: torch.Tensor, position: int) -> None:
        if hidden.ndim != 2 or hidden.shape[0] < 1 or hidden.shape[1] != self._blocks.hidden_size:
            raise ProtocolError(f"hidden states of shape {tuple(hidden.shape)} do not fit this model")
        end = position + hidden.shape[0]
        if position < 0 or end > reservation.max_tokens:
            raise ProtocolError(f"tokens {position}:{end} are outside of the reserved {reservation.max_tokens}")

    def _wait_for_batch(self) -> list[_Share]:
        """The next batch, or nothing once the engine has ended. Steps whose position is wrong fail here."""
        with self._changed:
            while self._ended is None:
                while self._changes:
                    self._changes.popleft()()
                ready = [reservation.steps[0] for reservation in self._reservations if reservation.steps]
                if wrong := [step for step in ready if not step.done and step.position > step.reservation.cache.length]:
                    self._fail(wrong)
                elif batch := next_batch(ready, self._limits, decodes_expected=self._decodes_expected()):
                    for step, _taken in batch:
                        step.reservation.running = True
                    return batch
                else:
                    self._changed.wait()
        return []

    def _decodes_expected(self) -> bool:
        """True if a session that decoded a moment ago is likely on its way back here."""
        since = time.monotonic() - DECODES_RECENT_SECONDS
        return any(reservation.decoded_at > since and not reservation.steps for reservation in self._reservations)

    def _fail(self, wrong: Iterable[PendingStep]) -> None:
        outcomes: list[tuple[PendingStep, _Result]] = []
        for step in wrong:
            step.reservation.steps.popleft()
            length = step.reservation.cache.length
            outcomes.append((step, ProtocolError(f"a step at position {step.position} came after {length} tokens")))
        self._token.run_sync_soon(_deliver, outcomes)

    def _run(self, batch: Sequence[_Share]) -> list[_Result]:
        """The output of each step's share. If a batch fails, its steps run alone, so that only the guilty one fails."""
        for step, _taken in batch:
            step.reservation.cache.roll_back(step.position + step.done)
        rows = [Row(step.reservation.cache, taken, step.position + step.tokens) for step, taken in batch]
        try:
            hidden = torch.cat([step.hidden[step.done : step.done + taken] for step, taken in batch])
            output = self._blocks.step(rows, hidden, batch[0][0].span).cpu()
        except Exception as error:
            if len(batch) > 1:
                logger.warning("a batch of %d steps failed; running them one by one", len(batch), exc_info=True)
                return [result for share in batch for result in self._run([share])]
            logger.exception("a step of %d tokens failed", batch[0][1])
            return [SwarmError(f"the node failed on this step ({type(error).__name__})")]
        return list(output.split([taken for _step, taken in batch]))

    def _settle(self, batch: Sequence[_Share], outputs: Sequence[_Result], seconds: float) -> None:
        """Note what ran, and hand over the results of the steps that are through."""
        outcomes: list[tuple[PendingStep, _Result]] = []
        with self._changed:
            now = time.monotonic()
            for (step, taken), output in zip(batch, outputs, strict=True):
                result = self._advance(step, taken, output)
                if result is not None:
                    outcomes.append((step, result))
                if is_decode(step.tokens):
                    step.reservation.decoded_at = now
                step.reservation.running = False
                if step.reservation.released:
                    self._free(step.reservation)
            self._meter = self._meter.after(batch, len(outcomes), seconds)
        self._token.run_sync_soon(_deliver, outcomes)

    def _advance(self, step: PendingStep, taken: int, output: _Result) -> _Result | None:
        """The step's result if it is through; None if more of its tokens must run."""
        result: _Result | None = None
        if isinstance(output, SwarmError):
            result = output
        else:
            step.outputs.append(output)
            step.done += taken
            self._turns += 1
            step.turn = self._turns
            if step.done == step.tokens:
                result = step.outputs[0] if len(step.outputs) == 1 else torch.cat(step.outputs)
        if step.reservation.released or step.dropped:
            result = SwarmError("the session has ended")
        if result is not None:
            step.reservation.steps.popleft()
        return result

    def _drop(self, step: PendingStep) -> None:
        with self._changed:
            step.dropped = True
            steps = step.reservation.steps
            if step in steps and not (steps[0] is step and step.reservation.running):
                steps.remove(step)
                self._changed.notify()

    def _release(self, reservation: Reservation) -> None:
        with self._changed:
            if reservation.released:
                return
            reservation.released = True
            running = [reservation.steps.popleft()] if reservation.running else []
            waiting = list(reservation.steps)
            reservation.steps = deque(running)
            if not running:
                self._free(reservation)
        _deliver([(step, SwarmError("the session has ended")) for step in waiting])

    def _free(self, reservation: Reservation) -> None:
        reservation.cache.free()
        self._reservations.remove(reservation)
        self._free_tokens += reservation.block_tokens

    def _end(self, reason: str) -> None:
        with self._changed:
            if self._ended is not None:
                return
            self._ended = reason
            waiting = [(step, SwarmError(reason)) for held in self._reservations for step in held.steps]
            self._changed.notify()
        self._token.run_sync_soon(_deliver, waiting)


def _deliver(outcomes: Iterable[tuple[PendingStep, _Result]]) -> None:
    """On the trio thread: wake those who wait. A step may be settled twice when the engine ends; the first counts."""
    for step, result in outcomes:
        if step.result is None:
            step.result = result
            step.finished.set()
