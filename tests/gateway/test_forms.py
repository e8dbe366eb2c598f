"""Answers that are held to a form: JSON, and calls of functions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

QUESTION: list[Any] = [{"role": "user", "content": "How warm is it in Rome?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"unit": {"enum": ["celsius", "kelvin"]}},
            "required": ["unit"],
            "additionalProperties": False,
        },
    },
}
HERMES = """{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}{% if tools %}Answer with <tool_call>{"name": …, "arguments": …}</tool_call>.
{% endif %}assistant:"""


class Weather(BaseModel):
    warm: bool
    unit: Literal["celsius", "kelvin"]


@pytest.fixture(scope="module")
def chat_model(chat_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with a template that tells how to call functions."""
    path = tmp_path_factory.mktemp("models") / "caller"
    shutil.copytree(chat_model, path)
    (path / "chat_template.jinja").write_text(HERMES)
    return path


def ask(client: openai.OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(**{"model": "caller", "messages": QUESTION, "max_tokens": 120, **options})


def test_an_answer_follows_a_json_schema(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="caller", messages=QUESTION, max_tokens=120, temperature=1.0, seed=1, response_format=Weather
    )
    assert isinstance(answer.choices[0].message.parsed, Weather)
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("seed", range(3))
def test_an_answer_is_some_json_if_that_is_asked(client: openai.OpenAI, seed: int) -> None:
    answer = ask(client, response_format={"type": "json_object"}, temperature=1.0, seed=seed)
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
    assert answer.choices[0].message.content.lstrip().startswith("{")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_call_that_is_required_is_made(client: openai.OpenAI, choice: Any) -> None:
    answer = ask(client, tools=[WEATHER], tool_choice=choice, temperature=1.0, seed=1)
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["unit"] in ("celsius", "kelvin")
    if choice != "required":  # else this model calls on and on, and its last call is cut off
        assert answer.choices[0].message.content is None
        assert answer.choices[0].finish_reason == "tool_calls"


def test_a_model_that_calls_on_and_on_makes_one_call_if_that_is_asked(client: openai.OpenAI) -> None:
    options = {"tools": [WEATHER], "tool_choice": "required", "temperature": 1.0, "seed": 1}
    answer = ask(client, **options, parallel_tool_calls=False)
    assert len(ask(client, **options).choices[0].message.tool_calls) > 1
    assert [call.function.name for call in answer.choices[0].message.tool_calls] == ["weather"]
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_call_comes_in_a_stream_too(client: openai.OpenAI) -> None:
    pieces = [
        piece
        for chunk in ask(client, tools=[WEATHER], tool_choice="required", temperature=1.0, seed=1, stream=True)
        for piece in chunk.choices[0].delta.tool_calls or []
    ]
    assert pieces[0].id and pieces[0].function.name == "weather"
    first = [piece.function.arguments or "" for piece in pieces if piece.index == 0]
    arguments = json.loads("".join(first))
    assert arguments["unit"] in ("celsius", "kelvin")


def test_the_answer_to_a_call_can_be_sent_back(client: openai.OpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"unit": "celsius"}'}}
    turns = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "21"},
    ]
    assert ask(client, messages=turns, tools=[WEATHER], max_tokens=8).choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"response_format": {"type": "yaml"}}, "json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 3}}}}, "schema"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "other"),
    ],
    ids=["an unknown format", "no schema", "an unknown function"],
)
def test_a_form_that_cannot_be_is_refused(client: openai.OpenAI, options: dict[str, Any], says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        ask(client, **options)
