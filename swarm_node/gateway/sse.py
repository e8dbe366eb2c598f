"""Server-sent events: an answer on its way while it is written, and an end to the work when its reader leaves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from routing.errors import sole_error
from swarm_node.gateway.errors import Problem, openai_error, problem_of
from swarm_node.gateway.settings import HEAD_SECONDS, KEEPALIVE_SECONDS

T = TypeVar("T")

KEEPALIVE = ": keepalive\n\n"
DONE = "data: [DONE]\n\n"


def block(data: Any, event: str | None = None) -> str:
    """One event of a stream: ``data`` as JSON, under the name ``event`` if it has one."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event}\ndata: {text}\n\n" if event else f"data: {text}\n\n"


def error_block(problem: Problem) -> str:
    """How OpenAI tells an error on a stream."""
    return block(openai_error(problem), "error")


class EventStream(Response):
    """A response of server-sent events.

    ``blocks`` is entered when the response is sent, and gives texts of whole events (``block``). What it raises on
    entering, or before HEAD_SECONDS are over, is the request's own error with a status; later it is an ``error``
    event. When the client leaves, ``blocks`` is cancelled, wherever it is.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        blocks: AbstractAsyncContextManager[AsyncIterator[str]],
        *,
        opening: str = KEEPALIVE,
        keepalive: str = KEEPALIVE,
        error_blocks: Callable[[Problem], str] = error_block,
        done: str = DONE,
    ) -> None:
        """``opening``: what the stream begins with; ``keepalive``: what breaks a silence; ``error_blocks``: how an
        error is told; ``done``: what follows the last block.
        """
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._blocks = blocks
        self._opening = opening
        self._keepalive = keepalive
        self._error_blocks = error_blocks
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire = _Wire(send, self.raw_headers, self._opening, self._keepalive)
        try:
            async with _while_connected(receive) as nursery:
                nursery.start_soon(wire.keep_alive)
                await self._write(wire)
        except BaseExceptionGroup as group:
            raise sole_error(group) from None

    async def _write(self, wire: _Wire) -> None:
        try:
            async with self._blocks as blocks:
                async for text in blocks:
                    await wire.write(text)
        except Exception as error:
            problem = problem_of(error)
            if not wire.begun:
                raise
            await wire.write(self._error_blocks(problem))
        await wire.write(self._done)
        await wire.end()


async def until_gone(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """What ``work`` returns; it is cancelled when the client leaves, then this raises ClientDisconnect.

    The request's body must have been read.
    """
    results: list[T] = []
    try:
        async with _while_connected(request.receive):
            results.append(await work())
    except BaseExceptionGroup as group:
        raise sole_error(group) from None
    if not results:
        raise ClientDisconnect
    return results[0]


@asynccontextmanager
async def _while_connected(receive: Receive) -> AsyncIterator[trio.Nursery]:
    """The body is cancelled when the client leaves. Hypercorn tells that by a message and by nothing else: sending to
    who has left raises no error there.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
        yield nursery
        nursery.cancel_scope.cancel()


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


class _Wire:
    """The response's way out, shared by the answer and the signs of life between its parts."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]], opening: str, keepalive: str) -> None:
        self._send = send
        self._headers = headers
        self._opening = opening
        self._keepalive = keepalive
        self._lock = trio.Lock()
        self._wrote = trio.current_time()
        self.begun = False

    async def write(self, text: str) -> None:
        async with self._lock:
            if not self.begun:
                self.begun = True
                await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
                text = self._opening + text
            await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            self._wrote = trio.current_time()

    async def end(self) -> None:
        async with self._lock:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def keep_alive(self) -> None:
        await trio.sleep(HEAD_SECONDS)
        if not self.begun:
            await self.write("")
        while True:
            idle = trio.current_time() - self._wrote
            if idle >= KEEPALIVE_SECONDS:
                await self.write(self._keepalive)
            else:
                await trio.sleep(KEEPALIVE_SECONDS - idle)
