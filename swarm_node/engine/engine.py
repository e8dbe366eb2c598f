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

from routing.errors import ProtocolError, SwarmError
from routing.span import Span
from swarm_node.compute import HostedBlocks
from swarm_node.engine.batch import Share, run_batch
from swarm_node.engine.book import CacheBook
from swarm_node.engine.meter import EngineMeter
from swarm_node.engine.reservation import Outcome, PendingStep, Reservation, deliver
from swarm_node.engine.schedule import BatchLimits, BatchTimes, Pause, next_batch, pause
from swarm_node.engine.settings import DECODES_RECENT_SECONDS
from swarm_node.engine.speed import ComputeSpeed, measure
from swarm_node.process import computing_alone
from swarm_node.wire import Beginning, is_decode

__all__ = ["ComputeSpeed", "Engine", "EngineMeter", "HostedBlocks", "Reservation", "measure", "open_engine"]

logger = logging.getLogger(__name__)

_NOTHING = Beginning()


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
        with computing_alone():
            yield engine
    finally:
        engine.close()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(thread.join)


class Engine:
    """Made by open_engine(), which owns it, and used from the trio thread; only work() runs in the engine's thread."""

    def __init__(self, blocks: HostedBlocks, cache_tokens: int, token: trio.lowlevel.TrioToken) -> None:
        self._blocks = blocks
        self._limits = BatchLimits.of(blocks.device.type)
        self._token = token
        self._changed = threading.Condition()  # guards everything below
        self._book = CacheBook(cache_tokens)
        self._reservations: set[Reservation] = set()
        self._away: set[Reservation] = set()
        """Those whose next decode may come any moment: not every one that is open, for each batch looks at all."""
        self._turns = 0
        self._ended: str | None = None
        """Why there will be no more batches."""
        self._failed = trio.Event()
        self._meter = EngineMeter()
        self._times = BatchTimes()
        """Of a block."""
        self._awaited = 0
        """Decodes that the engine's thread waits for, as long as nothing else happens."""
        self._changes: deque[Callable[[], None]] = deque()
        """What to do to the blocks before the next batch."""

    @property
    def capacity_tokens(self) -> int:
        """Block-tokens of cache in all."""
        return self._book.capacity_tokens

    @property
    def free_tokens(self) -> int:
        """Block-tokens that no session holds."""
        with self._changed:
            return max(0, self._book.free_tokens)

    @property
    def kept_tokens(self) -> int:
        """Those of them in which beginnings of sessions are kept until somebody needs the room."""
        with self._changed:
            return self._book.kept_tokens

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

    def reserve(
        self, max_tokens: int, span: Span, beginning: Beginning = _NOTHING, most: int | None = None
    ) -> Reservation:
        """Hold room for a session of at most ``max_tokens`` tokens in the blocks of ``span``.

        What was kept of ``beginning`` is in its cache then. That may cost more room than the session itself needs
        until its first step is through, but no more than ``most`` block-tokens in all; None: what is free.
        Raises CacheFull if there is no room now, ProtocolError if the blocks are not hosted here.
        """
        if not self._blocks.span.covers(span):
            raise ProtocolError(f"blocks {span} are not among the hosted {self._blocks.span}")
        if max_tokens < 1:
            raise ProtocolError(f"a session of {max_tokens} tokens cannot be reserved")
        with self._changed:
            self._check_open()
            reservation = Reservation(max_tokens, span, self._blocks.new_cache(max_tokens), self._release, beginning)
            self._book.admit(reservation, most)
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
            return self._book.free_tokens < 0

    def resize(self, cache_tokens: int) -> None:
        """Hold room for ``cache_tokens`` block-tokens from now on; where more are held, none is free for a while."""
        with self._changed:
            self._book.resize(cache_tokens)

    async def change_blocks(self, change: Callable[[HostedBlocks], None]) -> None:
        """Run ``change`` on the blocks in the engine's thread between two batches; it must be quick.

        Raises SwarmError once the engine has ended; if it ends meanwhile, whoever watches it ends the caller.
        """
        done = trio.Event()

        def run() -> None:
            change(self._blocks)
            self._book.host(self._blocks.span)
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
        (outcome,) = await self.steps([(reservation, hidden, position)])
        if isinstance(outcome, SwarmError):
            raise outcome
        return outcome

    async def steps(self, asked: Sequence[tuple[Reservation, torch.Tensor, int]]) -> list[Outcome]:
        """Like step() for several at once, with what came of each in place of what step() returns or raises."""
        with self._changed:
            pending = [self._queue(reservation, hidden, position) for reservation, hidden, position in asked]
            decodes = sum(is_decode(step.tokens) for step in pending)
            if decodes == len(pending) < self._awaited:
                self._awaited -= decodes  # to wake the thread for each would hold up those that come behind it
            else:
                self._changed.notify()
        try:
            for step in pending:
                if not step.finished.is_set():
                    await step.finished.wait()
        except BaseException:
            for step in pending:
                self._drop(step)
            raise
        return [step.outcome for step in pending]

    def _queue(self, reservation: Reservation, hidden: torch.Tensor, position: int) -> PendingStep:
        """The step, among those that wait or, if it cannot be run, settled."""
        self._turns += 1
        step = PendingStep(reservation, hidden.detach().cpu(), position, arrival=self._turns, turn=self._turns)
        if refusal := self._refusal(step):
            deliver([(step, refusal)])
            return step
        if is_decode(step.tokens) and not reservation.steps:
            reservation.absence = reservation.absence.back(time.monotonic())
        self._away.discard(reservation)
        reservation.steps.append(step)
        return step

    def _refusal(self, step: PendingStep) -> SwarmError | None:
        hidden = step.hidden
        if hidden.ndim != 2 or hidden.shape[0] < 1 or hidden.shape[1] != self._blocks.hidden_size:
            return ProtocolError(f"hidden states of shape {tuple(hidden.shape)} do not fit this model")
        if self._ended is not None:
            return SwarmError(self._ended)
        if step.reservation.released:
            return SwarmError("the session has ended")
        return step.reservation.refusal(step.tokens, step.position)

    def work(self) -> None:
        """The engine's thread: run batches until close()."""
        try:
            while batch := self._wait_for_batch():
                start = time.perf_counter()
                outputs = run_batch(self._blocks, batch)
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

    def _wait_for_batch(self) -> list[Share]:
        """The next batch, or nothing once the engine has ended. Steps whose position is wrong fail here."""
        with self._changed:
            ready_since: float | None = None
            while self._ended is None:
                while self._changes:
                    self._changes.popleft()()
                ready = [reservation.steps[0] for reservation in self._reservations if reservation.steps]
                if wrong := [step for step in ready if not step.done and step.position > step.reservation.cache.length]:
                    self._fail(wrong)
                elif batch := next_batch(ready, self._limits, decodes_expected=self._absent() > 0):
                    now = time.monotonic()
                    ready_since = ready_since or now
                    if wait := self._pause(batch, now, now - ready_since):
                        self._awaited = wait.decodes
                        self._changed.wait(wait.seconds)
                        self._awaited = 0
                        continue
                    for step, _taken in batch:
                        step.reservation.running = True
                    return batch
                else:
                    self._changed.wait(self._book.forget())
        return []

    def _absent(self) -> int:
        """Sessions that decoded a moment ago: they are likely on their way back."""
        since = time.monotonic() - DECODES_RECENT_SECONDS
        self._away = {held for held in self._away if held.absence.since > since}
        return len(self._away)

    def _pause(self, batch: Sequence[Share], now: float, waited: float) -> Pause | None:
        """Whether to wait for more decodes before ``batch`` runs, if it holds nothing else."""
        span = batch[0][0].span
        if not all(is_decode(step.tokens) for step, _taken in batch):
            return None
        others = (held.absence.due(now) for held in self._away if held.span == span)
        due = [seconds for seconds in others if seconds is not None]
        return pause(len(batch), due, waited, self._times.through(len(span)))

    def _fail(self, wrong: Iterable[PendingStep]) -> None:
        outcomes: list[tuple[PendingStep, Outcome]] = []
        for step in wrong:
            step.reservation.steps.popleft()
            length = step.reservation.cache.length
            outcomes.append((step, ProtocolError(f"a step at position {step.position} came after {length} tokens")))
        self._token.run_sync_soon(deliver, outcomes)

    def _settle(self, batch: Sequence[Share], outputs: Sequence[Outcome], seconds: float) -> None:
        """Note what ran, and hand over the results of the steps that are through."""
        outcomes: list[tuple[PendingStep, Outcome]] = []
        with self._changed:
            now = time.monotonic()
            for (step, taken), output in zip(batch, outputs, strict=True):
                reservation = step.reservation
                self._turns += 1
                step.turn = self._turns
                result = step.took(taken, output)
                if result is not None:
                    reservation.steps.popleft()
                    outcomes.append((step, result))
                if is_decode(step.tokens):
                    reservation.absence = reservation.absence.decoded(now)
                    if not reservation.steps:
                        self._away.add(reservation)
                reservation.running = False
                self._book.ran(reservation)
                if reservation.released:
                    self._free(reservation)
            self._meter = self._meter.after(batch, len(outcomes), seconds)
            if all(is_decode(step.tokens) for step, _taken in batch):
                self._times = self._times.after(len(batch), seconds / len(batch[0][0].span))
        self._token.run_sync_soon(deliver, outcomes)

    def _drop(self, step: PendingStep) -> None:
        with self._changed:
            step.dropped = True
            steps = step.reservation.steps
            if step in steps and not (steps[0] is step and step.reservation.running):
                steps.remove(step)
                self._changed.notify()

    def _release(self, reservation: Reservation, keys: bytes) -> None:
        with self._changed:
            if reservation.released:
                return
            reservation.released, reservation.last_keys = True, keys
            running = [reservation.steps.popleft()] if reservation.running else []
            waiting = list(reservation.steps)
            reservation.steps = deque(running)
            if not running:
                self._free(reservation)
        deliver([(step, SwarmError("the session has ended")) for step in waiting])

    def _free(self, reservation: Reservation) -> None:
        self._reservations.remove(reservation)
        self._away.discard(reservation)
        self._book.leave(reservation, reservation.last_keys)
        self._changed.notify()  # what is kept from now on must be forgotten in time

    def _end(self, reason: str) -> None:
        with self._changed:
            if self._ended is not None:
                return
            self._ended = reason
            waiting = [(step, SwarmError(reason)) for held in self._reservations for step in held.steps]
            self._changed.notify()
        self._token.run_sync_soon(deliver, waiting)
