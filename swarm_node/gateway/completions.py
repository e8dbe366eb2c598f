"""``/v1/completions``: a text goes on, at once or as a stream; evaluation harnesses ask here for probabilities."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from swarm_node.gateway.choices import Choice, Prompted, written
from swarm_node.gateway.completions_answer import CompletionAnswer, CompletionChunks, Prompt
from swarm_node.gateway.completions_request import CompletionRequest
from swarm_node.gateway.errors import bad_request
from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.keys import Key
from swarm_node.gateway.operations import Operation, checked_body
from swarm_node.gateway.served import Served
from swarm_node.gateway.settings import COMPLETION_TOKENS
from swarm_node.gateway.sse import EventStream, block, until_gone
from swarm_node.gateway.turn import Event
from swarm_node.gateway.turns import answer_room, request_of
from swarm_node.gateway.writing import PlainText, Writing
from swarm_node.text import Stops, TextPieces, encoded


def routes(gateway: Gateway) -> list[BaseRoute]:
    async def complete(request: Request) -> Response:
        asked = await checked_body(request, CompletionRequest)
        key = gateway.key_of(request)
        if asked.stream:
            return EventStream(_chunks(gateway, asked, key))
        return await until_gone(request, lambda: _whole(gateway, asked, key))

    return [
        Operation("POST", "/v1/completions", complete, summary="Goes on with a text.", body=CompletionRequest),
    ]


async def _whole(gateway: Gateway, asked: CompletionRequest, key: Key) -> Response:
    async with _answered(gateway, asked, key) as (served, prompts, events):
        answer = CompletionAnswer(_new_id(), int(time.time()), asked, served.names, prompts)
        async for event in events:
            answer.take(event)
        return JSONResponse(answer.body())


@asynccontextmanager
async def _chunks(gateway: Gateway, asked: CompletionRequest, key: Key) -> AsyncIterator[AsyncIterator[str]]:
    async with _answered(gateway, asked, key) as (served, prompts, events):
        chunks = CompletionChunks(_new_id(), int(time.time()), asked, served.names, prompts)

        async def blocks() -> AsyncGenerator[str]:
            async for event in events:
                for chunk in chunks.of(event):
                    yield block(chunk)

        async with aclosing(blocks()) as texts:
            yield texts


@asynccontextmanager
async def _answered(
    gateway: Gateway, asked: CompletionRequest, key: Key
) -> AsyncIterator[tuple[Served, list[Prompt], AsyncIterator[Event | Prompted]]]:
    with gateway.request(key):
        served = await gateway.models.served(asked.model)
        prompts = await key.prepare(partial(_prompts, asked, served))
        async with written(_choices(asked, served, key, prompts), served, key, gateway.metrics) as events:
            yield served, prompts, events


def _prompts(asked: CompletionRequest, served: Served) -> list[Prompt]:
    prompts: list[Prompt] = []
    for given in asked.prompts():
        context = served.batch.source.context_length
        ids = encoded(served.tokenizer, given, context) if isinstance(given, str) else given
        if not ids:
            raise bad_request("the prompt is empty; give some text", "prompt")
        if max(ids) >= served.vocabulary:
            raise bad_request(f"token {max(ids)} of the prompt is none of the model's {served.vocabulary}", "prompt")
        text = given if isinstance(given, str) else served.tokenizer.decode(ids, skip_special_tokens=True)
        prompts.append(Prompt(text, ids))
    return prompts


def _choices(asked: CompletionRequest, served: Served, key: Key, prompts: list[Prompt]) -> list[Choice]:
    choosing = asked.choosing(asked.max_tokens, asked.logprobs)
    # Whoever wants only the prompt's probabilities gets them with a first token, which is thrown away.
    most = 1 if asked.max_tokens == 0 else asked.max_tokens
    tells_prompt = bool(asked.echo) and asked.logprobs is not None
    choices: list[Choice] = []
    for prompt in prompts:
        room = answer_room(served, len(prompt.ids), most, COMPLETION_TOKENS)
        for number in range(choosing.n):
            request = request_of(choosing, served, key, prompt.ids, room, number)
            writing = Writing(
                len(choices),
                TextPieces(served.tokenizer),
                Stops(choosing.stop),
                PlainText(),
                served.ends,
                tell_tokens=asked.logprobs is not None,
            )
            choices.append(Choice(len(choices), replace(request, prompt_logprobs=tells_prompt), writing))
    return choices


def _new_id() -> str:
    return f"cmpl-{uuid.uuid4().hex}"
