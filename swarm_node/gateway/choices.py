"""Writes choices: each a row of the batch, all their events in one stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import trio

from dht.nursery import open_owner_nursery
from routing import Hop
from swarm_node.gateway.errors import Problem, Refused
from swarm_node.gateway.keys import Key
from swarm_node.gateway.metrics import Metrics
from swarm_node.gateway.served import Served
from swarm_node.gateway.settings import BUFFERED_EVENTS, READER_SECONDS
from swarm_node.gateway.turn import Counted, Ended, Event, Routed, Usage
from swarm_node.gateway.writing import Writing
from swarm_node.generate import Answer, Request, Token


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One text to be written."""

    index: int
    request: Request
    writing: Writing


@dataclass(frozen=True, slots=True)
class Prompted:
    """The prompt of a choice was read: its tokens, with their probabilities but for the first."""

    choice: int
    tokens: Sequence[Token | None]


@asynccontextmanager
async def written(
    choices: Sequence[Choice], served: Served, key: Key, metrics: Metrics
) -> AsyncIterator[AsyncIterator[Event | Prompted]]:
    """The events of ``choices``, as they come; Counted is the last. Leaving early frees the places of all.

    Prompted comes for requests with ``prompt_logprobs``. Raises what the batch raises.
    """
    run = _Run(served, key, metrics)
    send, receive = trio.open_memory_channel[Event | Prompted](BUFFERED_EVENTS)
    # Choices of one request share its prompt, which counts once.
    first_of_prompt = {id(choice.request.prompt): choice for choice in reversed(choices)}
    async with open_owner_nursery() as nursery:
        async with send:
            for choice in choices:
                counts = first_of_prompt[id(choice.request.prompt)] is choice
                nursery.start_soon(run.write, choice, counts, send.clone())
        async with receive, aclosing(run.events(receive)) as events:
            yield events
        nursery.cancel_scope.cancel()


class _Run:
    def __init__(self, served: Served, key: Key, metrics: Metrics) -> None:
        self._served = served
        self._key = key
        self._metrics = metrics
        self._usage = Usage(0, 0)

    async def events(self, receive: trio.MemoryReceiveChannel[Event | Prompted]) -> AsyncGenerator[Event | Prompted]:
        async for event in receive:
            yield event
        yield Counted(self._usage)

    async def write(self, choice: Choice, counts_prompt: bool, send: trio.MemorySendChannel[Event | Prompted]) -> None:
        writing = choice.writing
        prompt = len(choice.request.prompt) if counts_prompt else 0
        answer: Answer | None = None
        try:
            async with send:
                async with self._served.batch.answer(choice.request) as answer:
                    await self._follow(choice, answer, send)
                for event in writing.end():
                    await _put(send, event)
                await _put(send, Ended(choice.index, _reason(writing, answer), writing.stopped))
        finally:
            cached = answer.cached_tokens if answer is not None and counts_prompt else 0
            self._count(Usage(prompt, writing.tokens, cached, writing.reasoning_tokens))

    async def _follow(self, choice: Choice, answer: Answer, send: trio.MemorySendChannel[Event | Prompted]) -> None:
        name, metrics, writing = self._served.name, self._metrics, choice.writing
        route: tuple[Hop, ...] = ()
        last = trio.current_time()
        with ExitStack() as running:
            waiting = running.enter_context(ExitStack())
            waiting.enter_context(metrics.waiting.labels(name).track_inprogress())
            running.enter_context(metrics.running.labels(name).track_inprogress())
            async for token in answer:
                now = trio.current_time()
                if not writing.tokens:
                    waiting.close()
                    metrics.first_token.labels(name).observe(now - last)
                    if choice.request.prompt_logprobs:
                        await _put(send, Prompted(choice.index, answer.prompt_tokens))
                else:
                    metrics.next_token.labels(name).observe(now - last)
                last = now
                if answer.route is not route and answer.route != route:
                    if route:
                        metrics.failovers.labels(name).inc()
                    route = answer.route
                    await _put(send, Routed(choice.index, [_plain(hop) for hop in route]))
                for event in writing.push(token):
                    await _put(send, event)
                if writing.over:
                    return

    def _count(self, usage: Usage) -> None:
        total = self._usage
        self._usage = Usage(
            total.prompt + usage.prompt,
            total.completion + usage.completion,
            total.cached + usage.cached,
            total.reasoning + usage.reasoning,
        )
        self._key.spend(usage.prompt + usage.completion)
        for kind, tokens in (("prompt", usage.prompt), ("cached", usage.cached), ("completion", usage.completion)):
            self._metrics.tokens.labels(self._served.name, kind).inc(tokens)


async def _put(send: trio.MemorySendChannel[Event | Prompted], event: Event | Prompted) -> None:
    try:
        send.send_nowait(event)
    except trio.WouldBlock:
        with trio.move_on_after(READER_SECONDS) as scope:
            await send.send(event)
        if scope.cancelled_caught:
            raise Refused(
                Problem(408, f"nobody read the answer for {READER_SECONDS:.0f} s; ask again", "timeout_error")
            ) from None


def _reason(writing: Writing, answer: Answer) -> Literal["stop", "length", "tool_calls"]:
    if not writing.over and answer.ended == "length":
        return "length"
    return "tool_calls" if writing.called else "stop"


def _plain(hop: Hop) -> tuple[str, int, int]:
    return hop.node.peer_id, hop.span.start, hop.span.end
