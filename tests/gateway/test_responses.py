"""What a request to the Responses API asks of the model."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from routing.errors import UsageError
from swarm_node.gateway.responses import ResponsesRequest
from swarm_node.gateway.turn import Choosing, Turn

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}
TIME = {"type": "function", "name": "time", "description": "What time is it?"}


def turn(**body: Any) -> Turn:
    return ResponsesRequest.model_validate({"model": "demo", "input": "Hello", **body}).turn()


def test_a_text_is_what_the_user_says() -> None:
    assert turn().messages == [{"role": "user", "content": "Hello"}]


def test_instructions_and_a_developers_message_are_one_system_message() -> None:
    asked = turn(
        instructions="Be kind.",
        input=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    )

    assert asked.messages == [
        {"role": "system", "content": "Be kind.\n\nBe brief."},
        {"role": "user", "content": "Hello"},
    ]


def test_an_answer_before_with_a_thought_and_calls_is_one_message_and_its_results_follow() -> None:
    asked = turn(
        input=[
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather, time?"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
            },
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
            {"type": "function_call", "call_id": "call_2", "name": "time", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
            {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "noon"}]},
        ]
    )

    _, answer, rain, noon = asked.messages
    assert (answer["role"], answer["reasoning_content"], answer["content"]) == ("assistant", "Hm.", "I look.")
    assert [call["id"] for call in answer["tool_calls"]] == ["call_1", "call_2"]
    assert answer["tool_calls"][0]["function"] == {"name": "weather", "arguments": "{}"}
    assert rain == {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
    assert noon == {"role": "tool", "tool_call_id": "call_2", "content": "noon"}


def test_tools_have_the_form_of_chat_completions() -> None:
    function = {"name": "weather", "parameters": {"type": "object"}, "strict": True}

    assert turn(tools=[WEATHER]).tools == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    ("choice", "meant", "tools"),
    [
        ("required", "required", ["weather", "time"]),
        (None, "auto", ["weather", "time"]),
        ({"type": "function", "name": "time"}, "function:time", ["weather", "time"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]},
            "required",
            ["time"],
        ),
    ],
)
def test_which_tools_the_model_may_call_is_its_callers_choice(choice: Any, meant: str, tools: list[str]) -> None:
    asked = turn(tools=[WEATHER, TIME], tool_choice=choice)

    assert asked.tool_choice == meant
    assert [tool["function"]["name"] for tool in asked.tools] == tools


def test_a_schema_for_the_text_has_the_form_of_chat_completions() -> None:
    schema = {"type": "object"}
    asked = turn(text={"format": {"type": "json_schema", "name": "city", "schema": schema, "strict": True}})

    assert asked.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "city", "schema": schema, "strict": True},
    }
    assert turn(text={"format": {"type": "json_object"}}).response_format == {"type": "json_object"}
    assert turn(text={"format": {"type": "text"}}).response_format is None


def test_effort_goes_to_the_chat_template_and_none_means_no_thoughts() -> None:
    assert turn(reasoning={"effort": "low", "summary": "auto"}).template["reasoning_effort"] == "low"
    assert turn(reasoning={"effort": "none"}).template["enable_thinking"] is False
    assert turn().template == {}


def test_how_tokens_are_chosen() -> None:
    asked = turn(max_output_tokens=20, temperature=0.5, top_p=0.9)

    assert asked.choosing == Choosing(max_tokens=20, temperature=0.5, top_p=0.9)


def test_probabilities_come_if_they_are_included_or_counted() -> None:
    assert turn(include=["message.output_text.logprobs"]).choosing.top_logprobs == 0
    assert turn(top_logprobs=3).choosing.top_logprobs == 3
    assert turn(include=["reasoning.encrypted_content"]).choosing.top_logprobs is None


@pytest.mark.parametrize(
    "body",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"background": True},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"id": "msg_1"}]},
    ],
)
def test_what_needs_a_server_that_remembers_is_refused_with_what_to_do(body: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"keeps nothing.*(send|leave it out)"):
        turn(**body)


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "web_search"}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}]},
        {"input": [{"type": "computer_call"}]},
        {"input": [7]},
        {"input": None},
        {"max_output_tokens": 0},
        {"temperature": float("inf")},
        {"top_p": 1.5},
        {"tool_choice": {"type": "web_search"}},
        {"text": {"format": {"type": "xml"}}},
    ],
)
def test_what_the_model_cannot_do_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        turn(**body)


def test_what_nobody_knows_is_left_unread() -> None:
    assert turn(service_tier="flex", include=["reasoning.encrypted_content"], input=[{"role": "user", "content": "Hi"}])
