"""The stream of the Responses API, read by the real package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import openai
from hypothesis import given
from openai.types.responses import Response

from swarm_node.gateway.errors import Problem
from swarm_node.gateway.responses import ResponsesRequest
from swarm_node.gateway.responses_events import ResponseAnswer
from swarm_node.gateway.turn import Ended, Event, Wrote
from swarm_node.text import Content, Delta, Reasoning
from tests.gateway.answers import USAGE, WEATHER, answer, called, endings, parts, written

ECHO = ResponsesRequest(model="demo", input="Hello").echo()


def stream_of(events: Sequence[Event]) -> list[dict[str, Any]]:
    told = ResponseAnswer(ECHO, created=0)
    return told.begin() + [sent for event in events for sent in told.take(event)]


def read(sent: Sequence[dict[str, Any]]) -> list[Any]:
    """What the openai package makes of a stream."""
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in sent)
    reply = httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=body)
    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda _: reply)) as http,
        openai.OpenAI(base_url="http://swarm/v1", api_key="none", http_client=http) as client,
        client.responses.stream(model="demo", input="Hello") as stream,
    ):
        return list(stream)


def test_a_thought_a_sentence_and_two_calls_come_as_four_items_one_after_the_other() -> None:
    sent = stream_of(answer(*WEATHER, end=Ended(0, "tool_calls")))

    assert [(event["type"].removeprefix("response."), event.get("output_index")) for event in sent] == [
        ("created", None),
        ("in_progress", None),
        ("output_item.added", 0),
        ("content_part.added", 0),
        ("reasoning_text.delta", 0),
        ("reasoning_text.delta", 0),
        ("reasoning_text.done", 0),
        ("content_part.done", 0),
        ("output_item.done", 0),
        ("output_item.added", 1),
        ("content_part.added", 1),
        ("output_text.delta", 1),
        ("output_text.delta", 1),
        ("output_text.done", 1),
        ("content_part.done", 1),
        ("output_item.done", 1),
        ("output_item.added", 2),
        ("function_call_arguments.delta", 2),
        ("function_call_arguments.delta", 2),
        ("function_call_arguments.done", 2),
        ("output_item.done", 2),
        ("output_item.added", 3),
        ("function_call_arguments.delta", 3),
        ("function_call_arguments.done", 3),
        ("output_item.done", 3),
        ("completed", None),
    ]
    assert [event["sequence_number"] for event in sent] == list(range(len(sent)))


def test_the_last_event_holds_the_whole_response() -> None:
    response = Response.model_validate(stream_of(answer(*WEATHER))[-1]["response"])

    assert response.status == "completed" and response.output_text == "I look it up."
    thought, _, weather, time = response.output
    assert thought.type == "reasoning" and thought.content and thought.content[0].text == "They want the weather."
    assert weather.type == "function_call" and (weather.call_id, weather.arguments) == ("call_1", '{"city": "Łódź"}')
    assert time.type == "function_call" and (time.name, time.arguments) == ("time", "{}")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (11, 7, 18)
    assert response.usage.input_tokens_details.cached_tokens == USAGE.cached
    assert response.usage.output_tokens_details.reasoning_tokens == USAGE.reasoning


def test_an_answer_cut_at_its_length_is_incomplete_and_says_why() -> None:
    last = stream_of(answer(Content("Once upon"), end=Ended(0, "length")))[-1]

    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_an_answer_without_a_word_has_an_empty_message() -> None:
    response = Response.model_validate(stream_of(answer())[-1]["response"])

    assert response.output[0].type == "message" and response.output_text == ""


def test_an_error_in_the_middle_closes_what_is_open_and_is_told() -> None:
    told = ResponseAnswer(ECHO, created=0)
    sent = told.begin() + told.take(Wrote(0, Content("Once")))

    *_, item, failed = read(sent + told.fail(Problem(503, "Block 3 is lost.", "server_error")))

    assert item.type == "response.output_item.done" and item.item.status == "incomplete"
    assert failed.type == "response.failed" and failed.response.error.message == "Block 3 is lost."


@given(parts(), endings)
def test_whatever_a_model_writes_the_package_reads_the_same(deltas: list[Delta], ended: Ended) -> None:
    *_, last = read(stream_of(answer(*deltas, end=ended)))

    assert last.type == ("response.incomplete" if ended.reason == "length" else "response.completed")
    response = last.response
    assert response.output_text == written(deltas, Content)
    thoughts = [part.text for item in response.output if item.type == "reasoning" for part in item.content or ()]
    assert "".join(thoughts) == written(deltas, Reasoning)
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == called(deltas)


@given(parts(), endings)
def test_the_deltas_of_each_item_add_up_to_it(deltas: list[Delta], ended: Ended) -> None:
    sent = stream_of(answer(*deltas, end=ended))

    for index, item in enumerate(sent[-1]["response"]["output"]):
        of_item = [event for event in sent if event.get("output_index") == index]
        assert of_item[0]["type"] == "response.output_item.added" and of_item[-1]["item"] == item
        text = "".join(event.get("delta", "") for event in of_item)
        assert text == (item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"])
