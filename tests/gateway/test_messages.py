"""What a request to the Messages API asks of the model."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from routing.errors import UsageError
from swarm_node.gateway.messages import MessagesRequest
from swarm_node.gateway.turn import Choosing, Turn

HELLO = {"role": "user", "content": "Hello"}
WEATHER = {"name": "weather", "description": "How is it?", "input_schema": {"type": "object"}}
THINKING = ("enable_thinking", "thinking")


def turn(**body: Any) -> Turn:
    return MessagesRequest.model_validate({"model": "demo", "max_tokens": 9, "messages": [HELLO], **body}).turn()


@pytest.mark.parametrize("system", ["Be kind.", [{"type": "text", "text": "Be kind.", "cache_control": {}}]])
def test_the_system_prompt_comes_first(system: Any) -> None:
    assert turn(system=system).messages == [{"role": "system", "content": "Be kind."}, HELLO]


def test_an_answer_before_with_a_thought_and_calls_is_one_message_and_its_results_follow() -> None:
    asked = turn(
        messages=[
            HELLO,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "unsigned"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Łódź"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "rain"}]},
                    {"type": "text", "text": "And now?"},
                ],
            },
        ]
    )

    _, answer, result, question = asked.messages
    assert (answer["role"], answer["reasoning_content"], answer["content"]) == ("assistant", "Hm.", "I look.")
    function = {"name": "weather", "arguments": '{"city": "Łódź"}'}
    assert answer["tool_calls"] == [{"id": "call_1", "type": "function", "function": function}]
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
    assert question == {"role": "user", "content": "And now?"}


def test_two_messages_of_one_side_are_one() -> None:
    assert turn(messages=[HELLO, {"role": "user", "content": "Anyone?"}]).messages == [
        {"role": "user", "content": "Hello\n\nAnyone?"}
    ]


def test_a_tool_has_the_form_of_chat_completions() -> None:
    function = {"name": "weather", "description": "How is it?", "parameters": {"type": "object"}}

    assert turn(tools=[WEATHER]).tools == [{"type": "function", "function": function}]
    assert turn(tools=[{"type": "custom", **WEATHER}]).tools == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (None, "auto"),
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "weather"}, "function:weather"),
    ],
)
def test_which_tools_the_model_may_call_is_its_callers_choice(choice: Any, meant: str) -> None:
    assert turn(tools=[WEATHER], tool_choice=choice).tool_choice == meant


@pytest.mark.parametrize(
    ("thinking", "wanted"),
    [
        (None, False),
        ({"type": "disabled"}, False),
        ({"type": "enabled", "budget_tokens": 2048}, True),
        ({"type": "adaptive"}, True),
    ],
)
def test_thoughts_come_only_if_they_are_asked_for(thinking: Any, wanted: bool) -> None:
    template = turn(thinking=thinking).template

    assert all(template[name] is wanted for name in THINKING)


def test_a_schema_and_an_effort_are_the_same_as_in_chat_completions() -> None:
    asked = turn(output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}})

    assert asked.response_format is not None and asked.response_format["json_schema"]["schema"] == {"type": "object"}
    assert asked.template["reasoning_effort"] == "low"


def test_how_tokens_are_chosen() -> None:
    asked = turn(max_tokens=20, temperature=0.5, top_p=0.9, top_k=4, stop_sequences=["END"])

    assert asked.choosing == Choosing(
        max_tokens=20, fits_context=True, temperature=0.5, top_p=0.9, top_k=4, stop=["END"]
    )


def test_a_thought_of_another_server_that_is_not_told_is_left_out() -> None:
    before = {
        "role": "assistant",
        "content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "A"}],
    }
    assert turn(messages=[HELLO, before, HELLO]).messages[1] == {"role": "assistant", "content": "A"}


def test_a_tool_may_have_nothing_to_say() -> None:
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": None}]}
    assert turn(messages=[HELLO, call, result]).messages[-1]["content"] == ""


def test_an_assistants_message_cannot_be_the_last() -> None:
    with pytest.raises(UsageError, match="end with the user's"):
        turn(messages=[HELLO, {"role": "assistant", "content": "It is"}])


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": None},
        {"max_tokens": 0},
        {"messages": []},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "weather", "input": {}}]}]},
        {"messages": [{"role": "robot", "content": "Hello"}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tool_choice": {"type": "tool"}},
        {"temperature": 9},
        {"stop_sequences": [""]},
    ],
)
def test_what_the_model_cannot_do_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        turn(**body)
