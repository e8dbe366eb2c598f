"""An asyncio event loop in a thread of its own, for a library that needs one, used from trio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio
import uvloop

from dht.settings import THREAD_STOP_SECONDS
from routing.errors import NetworkError

log = logging.getLogger(__name__)

T = TypeVar("T")


class LoopThread:
    """A running asyncio loop.

    Owned by ``open_loop_thread``, which ends it with all its tasks. ``run`` is for the trio thread that opened it.
    """

    def __init__(self, name: str) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._ready = trio.Event()
        self._done = trio.Event()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        # A daemon thread, so that one that cannot be ended does not keep the whole process from ending.
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    async def run(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
        """Run ``function(*arguments)`` in the loop. A cancelled caller cancels the coroutine, without waiting."""
        if self._loop is None or self._stop.is_set():
            raise NetworkError("the hash table is closed")
        finished = trio.Event()
        future = asyncio.run_coroutine_threadsafe(function(*arguments), self._loop)
        future.add_done_callback(lambda _: self._tell(finished))
        try:
            await finished.wait()
        except trio.Cancelled:
            future.cancel()
            raise
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise NetworkError("the hash table was closed") from None

    async def start(self) -> None:
        """Start the thread and wait for its loop."""
        self._thread.start()
        await self._ready.wait()

    async def stop(self) -> None:
        """Cancel the loop's tasks and wait for its thread. Not stopped by cancellation."""
        assert self._loop is not None, "stopped only once it has started"
        self._loop.call_soon_threadsafe(self._stop.set)
        with trio.move_on_after(THREAD_STOP_SECONDS, shield=True):
            await self._done.wait()
        if self._done.is_set():
            self._thread.join()
        else:
            log.warning("the thread %s does not end; going on without", self._thread.name)

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._wait())
        self._tell(self._done)

    async def _wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_exception)
        self._tell(self._ready)
        await self._stop.wait()

    def _tell(self, event: trio.Event) -> None:
        try:
            self._token.run_sync_soon(event.set)
        except trio.RunFinishedError:
            log.debug("trio ended before the thread %s", self._thread.name)


@asynccontextmanager
async def open_loop_thread(name: str) -> AsyncIterator[LoopThread]:
    """An asyncio loop in a new thread called ``name``, for as long as the body runs."""
    thread = LoopThread(name)
    await thread.start()
    try:
        yield thread
    finally:
        await thread.stop()


def _log_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody in the loop awaits is for the log: asyncio's default would print it."""
    log.debug("%s", context.get("message"), exc_info=context.get("exception"))
