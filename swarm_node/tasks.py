"""Small shapes of structured concurrency: a deadline, calls at once, a call in a thread."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

import outcome
import trio

from routing.errors import PeerSilent, SwarmError

T = TypeVar("T")


@contextmanager
def deadline(seconds: float, complaint: str) -> Iterator[Callable[[], None]]:
    """Raise PeerSilent with ``complaint`` if the body takes longer than ``seconds``.

    A loop may call what it is given: the time begins anew then, which costs less than a deadline for each round.
    """
    with trio.move_on_after(seconds) as scope:

        def again() -> None:
            scope.deadline = trio.current_time() + seconds

        yield again
    if scope.cancelled_caught:
        raise PeerSilent(f"{complaint} for {seconds:g} s")


async def gather(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Run all calls at once and return their results in order; the first SwarmError ends the others and is raised."""
    if len(calls) <= 1:
        return [await call() for call in calls]
    results: dict[int, T] = {}
    failures: list[SwarmError] = []

    async with trio.open_nursery() as nursery:

        async def run(index: int, call: Callable[[], Awaitable[T]]) -> None:
            try:
                results[index] = await call()
            except SwarmError as error:
                failures.append(error)
                nursery.cancel_scope.cancel()

        for index, call in enumerate(calls):
            nursery.start_soon(run, index, call)
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(calls))]


async def in_thread(function: Callable[[], T]) -> T:
    """Run ``function`` in a thread that ends with it; cancellation does not wait, so that Ctrl-C ends a long load.

    None of trio's worker threads, which live on and would keep the helpers with which they computed.
    """
    token = trio.lowlevel.current_trio_token()
    done = trio.Event()
    results: list[outcome.Outcome[T]] = []

    def run() -> None:
        results.append(outcome.capture(function))
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(done.set)

    thread = threading.Thread(target=run, name="swarm-worker", daemon=True)
    thread.start()
    await done.wait()
    thread.join()  # it has nothing left to do
    return results[0].unwrap()
