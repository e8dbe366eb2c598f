"""One thread that runs the steps of all sessions in batches, and the cache they share.

async with open_engine(blocks, cache_tokens) as engine:
    reservation = engine.reserve(max_tokens, span)
    step = HostedStep(reservation, hidden, position)
    await engine.run([step])
    reservation.release()  # step.outcome is what came of it
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from routing.errors import ProtocolError, SwarmError
from routing.span import Span
from swarm_node.compute import HostedBlocks
from swarm_node.engine.batch import run_batch
from swarm_node.engine.book import CacheBook
from swarm_node.engine.queue import StepQueue
from swarm_node.engine.reservation import HostedStep, Outcome, Reservation, wake
from swarm_node.engine.schedule import BatchLimits
from swarm_node.engine.tally import Tally
from swarm_node.process import computing_alone
from swarm_node.wire import Beginning, is_decode

log = logging.getLogger(__name__)

_NOTHING = Beginning()


@asynccontextmanager
async def open_engine(blocks: HostedBlocks, cache_tokens: int, tally: Tally | None = None) -> AsyncIterator[Engine]:
    """Run ``blocks`` in a thread of their own, with room for ``cache_tokens`` block-tokens of keys and values.

    What it does is added to ``tally``, which may go on from an earlier engine's.
    At the end, steps that wait fail, the batch that runs is waited for, even under cancellation, and the thread is
    joined.
    """
    engine = Engine(blocks, cache_tokens, trio.lowlevel.current_trio_token(), tally or Tally())
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

    def __init__(self, blocks: HostedBlocks, cache_tokens: int, token: trio.lowlevel.TrioToken, tally: Tally) -> None:
        self._blocks = blocks
        self._tally = tally
        self._token = token
        self._changed = threading.Condition()  # guards everything below
        self._book = CacheBook(cache_tokens)
        self._queue = StepQueue(BatchLimits.of(blocks.device.type))
        self._ended: str | None = None
        """Why there will be no more batches."""
        self._failed = trio.Event()
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
            return len(self._queue.reservations)

    @property
    def queued(self) -> int:
        """Steps that have come and are not through, those of the batch that runs now too."""
        with self._changed:
            return sum(len(held.steps) for held in self._queue.reservations)

    def session_tokens(self, max_tokens: int, span: Span) -> int:
        """Block-tokens that a session of at most ``max_tokens`` tokens takes in the blocks of ``span``."""
        return self._blocks.session_tokens(max_tokens, span)

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
            cache, needed = self._blocks.new_cache(max_tokens), self._blocks.session_tokens(max_tokens, span)
            reservation = Reservation(max_tokens, span, cache, needed, self._release, beginning)
            self._book.admit(reservation, most)
            self._queue.reservations.add(reservation)
        return reservation

    def outside(self, span: Span | None) -> list[Reservation]:
        """The reservations that use blocks beyond ``span``; all of them if it is None."""
        with self._changed:
            return [held for held in self._queue.reservations if span is None or not span.covers(held.span)]

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

    async def run(self, steps: Sequence[HostedStep]) -> None:
        """Run ``steps``, as far as other sessions' steps allow in one batch; each has its outcome in the end.

        What a cache holds from a step's position on is forgotten first, so sending a step again is harmless. Cancelling
        drops the steps; a cache may then hold some of their tokens, which the next step at their position replaces.
        An outcome is a ProtocolError for a position or shape that does not fit, a SwarmError if the blocks failed on
        this step or the session or the engine ended.
        """
        with self._changed:
            for step in steps:
                self._queue_up(step)
            decodes = sum(is_decode(step.tokens) for step in steps)
            if decodes == len(steps) < self._awaited:
                self._awaited -= decodes  # to wake the thread for each would hold up those that come behind it
            else:
                self._changed.notify()
        try:
            for step in steps:
                if not step.finished.is_set():
                    await step.finished.wait()
        except BaseException:
            with self._changed:
                left = [self._queue.drop(step) for step in steps]
                if any(left):
                    self._changed.notify()
            raise

    def _queue_up(self, step: HostedStep) -> None:
        """Have ``step`` wait or, if it cannot be run, finish it."""
        if refusal := self._refusal(step):
            step.finish(refusal)
            wake([step])
        else:
            self._queue.put(step)

    def _refusal(self, step: HostedStep) -> SwarmError | None:
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
            log.exception("the engine's thread failed")
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

    def _wait_for_batch(self) -> list[HostedStep]:
        """The next batch, or nothing once the engine has ended. Steps whose position is wrong fail here."""
        with self._changed:
            ready_since: float | None = None
            while self._ended is None:
                while self._changes:
                    self._changes.popleft()()
                ready = self._queue.ready()
                if wrong := self._queue.fail_misplaced(ready):
                    self._token.run_sync_soon(wake, wrong)
                elif chosen := self._queue.choose(ready):
                    now = time.monotonic()
                    ready_since = ready_since or now
                    if wait := self._queue.pause(chosen, now, now - ready_since):
                        self._awaited = wait.decodes
                        self._changed.wait(wait.seconds)
                        self._awaited = 0
                        continue
                    return self._queue.start(chosen)
                else:
                    self._changed.wait(self._book.forget())
        return []

    def _settle(self, batch: Sequence[HostedStep], outputs: Sequence[Outcome], seconds: float) -> None:
        """Note what ran, and hand over the steps that are through."""
        with self._changed:
            self._queue.ran(batch, outputs, seconds)
            self._tally.ran(batch, outputs, seconds)
            through = [step for step in batch if step.result is not None]
            try:
                for step in batch:
                    self._book.ran(step.reservation)
                    if step.reservation.released:
                        self._free(step.reservation)
            finally:  # they are in no queue any more, so the engine's end would not reach them
                self._token.run_sync_soon(wake, through)

    def _release(self, reservation: Reservation, keys: bytes) -> None:
        with self._changed:
            if reservation.released:
                return
            reservation.released, reservation.last_keys = True, keys
            waiting = self._queue.drop_waiting(reservation)
            for step in waiting:
                step.finish(SwarmError("the session has ended"))
            if not reservation.steps:  # else when the batch ends that runs its step
                self._free(reservation)
        wake(waiting)

    def _free(self, reservation: Reservation) -> None:
        self._queue.remove(reservation)
        self._book.leave(reservation, reservation.last_keys)
        self._changed.notify()  # what is kept from now on must be forgotten in time

    def _end(self, reason: str) -> None:
        with self._changed:
            if self._ended is not None:
                return
            self._ended = reason
            waiting = [step for held in self._queue.reservations for step in held.steps]
            for step in waiting:
                step.finish(SwarmError(reason))
            self._changed.notify()
        self._token.run_sync_soon(wake, waiting)
