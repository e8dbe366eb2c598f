"""Runs a Turn: its prompt, its choices as rows of the batch, and the events of their answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from transformers import LogitsProcessor

from routing.errors import ContextTooLong
from swarm_node.gateway.choices import Choice, Prompted, written
from swarm_node.gateway.errors import bad_request
from swarm_node.gateway.keys import Key
from swarm_node.gateway.metrics import Metrics
from swarm_node.gateway.penalties import AnswerPenalties, TokenBias
from swarm_node.gateway.served import Served
from swarm_node.gateway.settings import ANSWER_TOKENS, MINIMAL_TEMPERATURE
from swarm_node.gateway.turn import Choosing, Event, Turn
from swarm_node.gateway.writing import Writing
from swarm_node.generate import Request
from swarm_node.text import Stops, TextPieces, answer_parser, chat_prompt, grammar_of

SEEDS = 2**32
"""What transformers takes; clients send other numbers too, and each stands for one of these."""


@asynccontextmanager
async def events_of(turn: Turn, served: Served, key: Key, metrics: Metrics) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of ``turn``, in order; Counted is the last. Leaving early frees the places of every choice.

    Entering checks the turn and makes its prompt: raises UsageError, ContextTooLong. The events raise what the batch
    raises.
    """
    choices = await key.prepare(partial(_choices, turn, served, key))
    async with written(choices, served, key, metrics) as events:
        yield _without_prompts(events)


async def _without_prompts(events: AsyncIterator[Event | Prompted]) -> AsyncIterator[Event]:
    async for event in events:
        if not isinstance(event, Prompted):
            yield event


def _choices(turn: Turn, served: Served, key: Key) -> list[Choice]:
    tokenizer, choosing = served.tokenizer, turn.choosing
    tools = () if turn.tool_choice == "none" else turn.tools
    context = served.batch.source.context_length
    prompt = chat_prompt(tokenizer, turn.messages, tools, template=turn.template, context=context)
    text: str = tokenizer.decode(prompt, skip_special_tokens=False)
    most = answer_room(served, len(prompt), choosing.max_tokens, ANSWER_TOKENS, fits=choosing.fits_context)
    grammar = grammar_of(
        tokenizer,
        served.model_type,
        vocabulary=served.vocabulary,
        ends=served.ends,
        prompt_text=text,
        response_format=turn.response_format,
        tools=tools,
        tool_choice=turn.tool_choice,
        parallel_calls=turn.parallel_calls,
    )
    choices: list[Choice] = []
    for index in range(choosing.n):
        parser = answer_parser(tokenizer, served.model_type, text, tools)
        writing = Writing(
            index,
            TextPieces(tokenizer, keep=parser.keep),
            Stops(choosing.stop),
            parser,
            # Some parsers tell by the end token what has ended.
            set(served.ends) - set(tokenizer.convert_tokens_to_ids(list(parser.keep))),
            tell_tokens=choosing.top_logprobs is not None,
            parallel_calls=turn.parallel_calls,
        )
        held = [] if grammar is None else [grammar.processor(len(prompt))]
        choices.append(Choice(index, request_of(choosing, served, key, prompt, most, index, held), writing))
    return choices


def request_of(
    choosing: Choosing,
    served: Served,
    key: Key,
    prompt: list[int],
    max_tokens: int,
    index: int,
    processors: Sequence[Callable[..., Any]] = (),
) -> Request:
    """What the batch is asked for choice ``index``; ``processors`` come after OpenAI's own.

    Raises Refused for tokens that the model does not have.
    """
    return Request(
        prompt=prompt,
        max_new_tokens=max_tokens,
        options={**options_of(choosing), "eos_token_id": list(served.ends)},
        processors=(*processors_of(choosing, served, len(prompt)), *processors),
        seed=None if choosing.seed is None else (choosing.seed + index) % SEEDS,
        top_logprobs=choosing.top_logprobs,
        owner=key.owner,
    )


def answer_room(served: Served, prompt_tokens: int, asked: int | None, default: int, *, fits: bool = False) -> int:
    """Longest answer, in tokens: what is asked for, or as many of ``default`` as the context leaves; with ``fits`` as
    many of those asked for.

    Raises ContextTooLong.
    """
    limit = served.batch.source.context_length
    if limit is None:
        return default if asked is None else asked
    room = limit - prompt_tokens
    if room < 1:
        raise ContextTooLong(f"the prompt has {prompt_tokens} tokens, and the model's context {limit}; shorten it")
    if asked is None:
        return min(default, room)
    if asked > room and fits:
        return room
    if asked > room:
        raise ContextTooLong(
            f"the prompt has {prompt_tokens} tokens; with {asked} new ones that exceeds the model's context of "
            f"{limit}; shorten it or lower max_tokens"
        )
    return asked


def options_of(choosing: Choosing) -> Mapping[str, Any]:
    """By transformers' names. Temperature 0 takes the likeliest token; whatever else is about chance means sampling."""
    if choosing.temperature is not None and choosing.temperature < MINIMAL_TEMPERATURE:
        named: dict[str, Any] = {"do_sample": False}
    else:
        chance = {
            "temperature": choosing.temperature,
            "top_p": choosing.top_p,
            "top_k": None if choosing.top_k is None else max(0, choosing.top_k),
            "min_p": choosing.min_p,
        }
        named = {name: value for name, value in chance.items() if value is not None}
        if named:
            named["do_sample"] = True
    if choosing.repetition_penalty is not None:
        named["repetition_penalty"] = choosing.repetition_penalty
    return named


def processors_of(choosing: Choosing, served: Served, prompt_tokens: int) -> list[LogitsProcessor]:
    """OpenAI's own. Raises Refused for tokens that the model does not have."""
    processors: list[LogitsProcessor] = []
    if choosing.logit_bias:
        if unknown := [token for token in choosing.logit_bias if not 0 <= token < served.vocabulary]:
            raise bad_request(
                f"logit_bias names token {unknown[0]}; the model's vocabulary has {served.vocabulary}", "logit_bias"
            )
        processors.append(TokenBias(choosing.logit_bias, served.batch.model.device))
    if choosing.frequency_penalty or choosing.presence_penalty:
        penalties = choosing.frequency_penalty or 0.0, choosing.presence_penalty or 0.0
        processors.append(AnswerPenalties(prompt_tokens, *penalties))
    return processors
