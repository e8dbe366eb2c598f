"""The stream of the Messages API, read by the real package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message
from hypothesis import given

from swarm_node.gateway.messages_events import PING, MessageAnswer
from swarm_node.gateway.turn import Ended, Event
from swarm_node.text import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun
from tests.gateway.answers import WEATHER, answer, called, endings, parts, written


def stream_of(events: Sequence[Event]) -> list[dict[str, Any]]:
    told = MessageAnswer("demo")
    return told.begin() + [sent for event in events for sent in told.take(event)]


def whole(events: Sequence[Event]) -> Message:
    told = MessageAnswer("demo")
    for event in events:
        told.take(event)
    return Message.model_validate(told.message)


def read(sent: Sequence[dict[str, Any]]) -> Message:
    """What the anthropic package adds a stream up to."""
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in sent)
    reply = httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=body)
    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda _: reply)) as http,
        anthropic.Anthropic(base_url="http://swarm", api_key="none", http_client=http) as client,
        client.messages.stream(model="demo", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream,
    ):
        return stream.get_final_message()


def test_a_thought_a_sentence_and_two_calls_come_as_four_blocks_one_after_the_other() -> None:
    sent = stream_of(answer(*WEATHER, end=Ended(0, "tool_calls")))

    assert [(event["type"], event.get("delta", event.get("content_block", {})).get("type")) for event in sent] == [
        ("message_start", None),
        ("content_block_start", "thinking"),
        ("content_block_delta", "thinking_delta"),
        ("content_block_delta", "thinking_delta"),
        ("content_block_delta", "signature_delta"),
        ("content_block_stop", None),
        ("content_block_start", "text"),
        ("content_block_delta", "text_delta"),
        ("content_block_delta", "text_delta"),
        ("content_block_stop", None),
        ("content_block_start", "tool_use"),
        ("content_block_delta", "input_json_delta"),
        ("content_block_delta", "input_json_delta"),
        ("content_block_stop", None),
        ("content_block_start", "tool_use"),
        ("content_block_delta", "input_json_delta"),
        ("content_block_stop", None),
        ("message_delta", None),
        ("message_stop", None),
    ]


def test_the_package_puts_the_blocks_together() -> None:
    message = read(
        [
            *stream_of(answer(*WEATHER, end=Ended(0, "tool_calls")))[:3],
            PING,
            *stream_of(answer(*WEATHER, end=Ended(0, "tool_calls")))[3:],
        ]
    )

    thought, text, weather, _ = message.content
    assert thought.type == "thinking" and thought.thinking == "They want the weather."
    assert text.type == "text" and text.text == "I look it up."
    assert weather.type == "tool_use" and (weather.id, weather.input) == ("call_1", {"city": "Łódź"})
    assert message.stop_reason == "tool_use"


def test_what_nodes_held_already_is_counted_beside_the_input() -> None:
    usage = read(stream_of(answer(Content("Hi")))).usage

    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (3, 8, 7)
    assert usage.output_tokens_details is not None and usage.output_tokens_details.thinking_tokens == 3


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (Ended(0, "stop"), "end_turn"),
        (Ended(0, "length"), "max_tokens"),
        (Ended(0, "tool_calls"), "tool_use"),
        (Ended(0, "stop", stop="END"), "stop_sequence"),
    ],
)
def test_why_it_ended_is_told_in_anthropics_words(ended: Ended, reason: str) -> None:
    message = read(stream_of(answer(Content("Hi"), end=ended)))

    assert (message.stop_reason, message.stop_sequence) == (reason, ended.stop)


def test_an_answer_without_a_word_has_an_empty_text() -> None:
    (block,) = read(stream_of(answer())).content

    assert block.type == "text" and block.text == ""


def test_a_call_cut_at_the_length_keeps_the_arguments_that_are_whole() -> None:
    cut = answer(
        ToolCallBegun(0, "call_1", "weather"),
        ToolCallArguments(0, '{"city": "Rome", "day": "tom'),
        end=Ended(0, "length"),
    )

    (block,) = whole(cut).content
    assert block.type == "tool_use" and block.input == {"city": "Rome"}


@given(parts(), endings)
def test_whatever_a_model_writes_the_package_reads_the_same(deltas: list[Delta], ended: Ended) -> None:
    message = Message.model_validate(read(stream_of(answer(*deltas, end=ended))).model_dump(warnings=False))

    assert "".join(block.text for block in message.content if block.type == "text") == written(deltas, Content)
    thoughts = [block.thinking for block in message.content if block.type == "thinking"]
    assert "".join(thoughts) == written(deltas, Reasoning)
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == called(deltas)


@given(parts(), endings)
def test_a_stream_adds_up_to_the_message_of_an_answer_in_one_piece(deltas: list[Delta], ended: Ended) -> None:
    streamed = read(stream_of(answer(*deltas, end=ended))).model_dump(warnings=False, exclude={"id"})
    at_once = whole(answer(*deltas, end=ended)).model_dump(exclude={"id"})

    for block in streamed["content"]:
        block.pop("parsed_output", None)
    assert streamed == at_once
