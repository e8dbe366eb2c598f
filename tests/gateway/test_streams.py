"""What a stream does while its answer takes its time, and when its reader leaves."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from routing.errors import CacheFull
from swarm_node.gateway.errors import too_many
from swarm_node.gateway.listener import listen
from swarm_node.gateway.settings import HEAD_SECONDS, KEEPALIVE_SECONDS
from swarm_node.gateway.sse import EventStream, block, until_gone


class Client:
    """An ASGI server's side of one request."""

    def __init__(self) -> None:
        self.messages: list[tuple[float, Any]] = []
        self.gone = trio.Event()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append((trio.current_time(), message))

    @property
    def text(self) -> str:
        return "".join(message.get("body", b"").decode() for _, message in self.messages)


@asynccontextmanager
async def texts_after(seconds: float, *texts: str | Exception) -> AsyncIterator[AsyncIterator[str]]:
    async def run() -> AsyncIterator[str]:
        await trio.sleep(seconds)
        for text in texts:
            if isinstance(text, Exception):
                raise text
            yield text

    yield run()


def respond(stream: EventStream, client: Client) -> Awaitable[None]:
    return stream({"type": "http"}, client.receive, client.send)


def simulated(main: Callable[[], Awaitable[None]]) -> None:
    """Run with a clock that jumps over waits."""
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_stream_shows_life_at_once_and_every_ten_seconds() -> None:
    async def main() -> None:
        client, start = Client(), trio.current_time()
        await respond(EventStream(texts_after(35, block({"a": 1}))), client)
        times = [when - start for when, message in client.messages if b"keepalive" in message.get("body", b"")]
        assert times == pytest.approx([HEAD_SECONDS + KEEPALIVE_SECONDS * count for count in range(4)])
        assert client.text.endswith('data: {"a":1}\n\ndata: [DONE]\n\n')

    simulated(main)


def test_an_early_error_keeps_its_own_status() -> None:
    async def main() -> None:
        client = Client()
        with pytest.raises(CacheFull):
            await respond(EventStream(texts_after(HEAD_SECONDS / 2, CacheFull("no room"))), client)
        assert client.messages == []

    simulated(main)


def test_an_error_in_the_middle_is_an_event_of_the_stream() -> None:
    async def main() -> None:
        client = Client()
        await respond(EventStream(texts_after(1, block(1), too_many("slow down"))), client)
        assert 'event: error\ndata: {"error":{"message":"slow down"' in client.text
        assert client.text.endswith("data: [DONE]\n\n")

    simulated(main)


def test_an_unforeseen_error_tells_the_client_no_details() -> None:
    async def main() -> None:
        client = Client()
        await respond(EventStream(texts_after(1, block(1), ValueError("secret"))), client)
        assert "internal_error" in client.text
        assert "secret" not in client.text

    simulated(main)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen("127.0.0.1", 0) as listener:
        yield listener


@pytest.mark.parametrize("stream", [True, False], ids=["of a stream", "of a whole answer"])
def test_the_work_ends_when_its_reader_closes_the_socket(listener: socket.socket, stream: bool) -> None:
    async def main() -> None:
        begun, ended = trio.Event(), trio.Event()

        async def work() -> Response:
            begun.set()
            try:
                await trio.sleep_forever()
            finally:
                ended.set()

        @asynccontextmanager
        async def blocks() -> AsyncIterator[AsyncIterator[str]]:
            await work()
            yield texts_after(0)  # type: ignore[misc]

        async def endpoint(request: Request) -> Response:
            await request.body()
            return EventStream(blocks()) if stream else await until_gone(request, work)

        config = Config()
        port = listener.getsockname()[1]
        config.bind = [f"fd://{listener.detach()}"]
        app: Any = Starlette(routes=[Route("/", endpoint, methods=["POST"])])
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(serve, app, config, shutdown_trigger=ended.wait))
                async with await trio.open_tcp_stream("127.0.0.1", port) as client:
                    await client.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
                    await begun.wait()
                    await trio.sleep(0.1)
                    assert not ended.is_set()
                await ended.wait()

    trio.run(main)
