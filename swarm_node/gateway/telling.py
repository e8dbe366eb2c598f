"""An answer sent in an API's own words: as a stream of its events while it is written, or whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from swarm_node.gateway.errors import Problem
from swarm_node.gateway.sse import KEEPALIVE, EventStream, block, until_gone
from swarm_node.gateway.turn import Event

StreamEvent = dict[str, Any]
"""Its ``type`` is its name on the stream."""


class Answer(Protocol):
    """Takes the events of one turn and tells them."""

    def begin(self) -> list[StreamEvent]:
        """Before the first token."""

    def take(self, event: Event) -> list[StreamEvent]:
        """The answer goes on."""

    def fail(self, problem: Problem) -> list[StreamEvent]:
        """It will not go on."""

    def whole(self) -> Mapping[str, Any]:
        """What it amounts to, once the last event is taken."""


async def respond(
    request: Request,
    events: AbstractAsyncContextManager[AsyncIterator[Event]],
    answer: Answer,
    *,
    stream: bool,
    keepalive: str = KEEPALIVE,
) -> Response:
    """What ``answer`` makes of ``events``. Leaves them at once if the client leaves. Raises what they raise."""
    if stream:
        return EventStream(
            _told(events, answer),
            opening=blocks(answer.begin()),
            keepalive=keepalive,
            error_blocks=lambda problem: blocks(answer.fail(problem)),
            done="",
        )

    async def complete() -> Response:
        async with events as written:
            async for event in written:
                answer.take(event)
        return JSONResponse(answer.whole())

    return await until_gone(request, complete)


def blocks(events: Iterable[StreamEvent]) -> str:
    """As they go over the wire."""
    return "".join(block(event, event["type"]) for event in events)


@asynccontextmanager
async def _told(
    events: AbstractAsyncContextManager[AsyncIterator[Event]], answer: Answer
) -> AsyncIterator[AsyncIterator[str]]:
    async with events as written, aclosing(_texts(written, answer)) as texts:
        yield texts


async def _texts(events: AsyncIterator[Event], answer: Answer) -> AsyncGenerator[str]:
    async for event in events:
        if text := blocks(answer.take(event)):
            yield text
