"""``/v1/chat/completions``: OpenAI's chat, at once or as a stream."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from swarm_node.gateway.chat_answer import ChatAnswer, ChatChunks
from swarm_node.gateway.chat_request import ChatRequest, StreamOptions
from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.keys import Key
from swarm_node.gateway.operations import Operation, checked_body
from swarm_node.gateway.sse import EventStream, block, until_gone
from swarm_node.gateway.turn import Turn


def routes(gateway: Gateway) -> list[BaseRoute]:
    async def complete(request: Request) -> Response:
        asked = await checked_body(request, ChatRequest)
        turn, key = asked.turn(), gateway.key_of(request)
        wanted = asked.streams()
        if wanted is not None:
            return EventStream(_chunks(gateway, turn, key, wanted))
        return await until_gone(request, lambda: _whole(gateway, turn, key))

    return [
        Operation(
            "POST", "/v1/chat/completions", complete, summary="Answers a conversation.", body=ChatRequest
        )
    ]  # fmt: skip


async def _whole(gateway: Gateway, turn: Turn, key: Key) -> Response:
    answer = ChatAnswer(_new_id(), int(time.time()), turn, (await gateway.models.served(turn.model)).names)
    async with gateway.turns(turn, key) as events:
        async for event in events:
            answer.take(event)
    return JSONResponse(answer.body())


@asynccontextmanager
async def _chunks(gateway: Gateway, turn: Turn, key: Key, wanted: StreamOptions) -> AsyncIterator[AsyncIterator[str]]:
    chunks = ChatChunks(_new_id(), int(time.time()), turn, wanted, (await gateway.models.served(turn.model)).names)

    async def blocks() -> AsyncGenerator[str]:
        async for event in events:
            for chunk in chunks.of(event):
                yield block(chunk)

    async with gateway.turns(turn, key) as events, aclosing(blocks()) as texts:
        yield texts


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"
