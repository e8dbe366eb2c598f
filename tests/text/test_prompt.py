"""A chat becomes the prompt that its model's template writes, whatever form the messages come in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from routing.errors import ContextTooLong, UsageError
from swarm_node.text import chat_prompt, encoded, end_tokens
from tests.text import templates, vocabularies
from tests.text.templates import CHATML, tokenizer_with

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Weather?"},
]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
CALLING = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
]
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)
WITH_CALLS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}{{ ' ' + m.name if m.name }}\n{{ m.content }}"
    "{% for call in m.tool_calls %}{{ call.function.name }}: ARGUMENTS{% endfor %}<|im_end|>\n{% endfor %}"
)


def prompt(template: str | None, messages: Any, tools: Any = (), **variables: Any) -> str:
    tokenizer = tokenizer_with(template)
    return str(tokenizer.decode(chat_prompt(tokenizer, messages, tools, template=variables)))


@pytest.mark.parametrize("template", [CHATML, "{{ bos_token }}" + CHATML])
def test_a_chat_is_the_prompt_that_transformers_makes(template: str) -> None:
    tokenizer = tokenizer_with(template)
    expected = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True)["input_ids"]
    assert chat_prompt(tokenizer, CHAT) == expected
    assert expected.count(tokenizer.bos_token_id) == template.count("bos_token")


def test_a_template_sees_tools_and_variables() -> None:
    template = CHATML + "{{ tools[0].function.name }} {{ reasoning_effort }} {{ enable_thinking }}"
    text = prompt(template, CHAT, TOOLS, reasoning_effort="low", enable_thinking=False)
    assert text.endswith("weather low False")
    assert prompt("{{ messages[0].content }}{{ tools is none }}", CHAT) == "Be brief.True"


@pytest.mark.parametrize("content", ["Weather?", [{"type": "text", "text": "Weather?"}], ["Weather?"]])
def test_content_may_be_a_text_or_a_list_of_text_parts(content: Any) -> None:
    assert prompt(CHATML, [{"role": "user", "content": content}]) == prompt(CHATML, CHAT[-1:])


def test_parts_stay_apart() -> None:
    parts = [{"type": "text", "text": "One"}, {"type": "input_text", "text": "Two"}]
    assert "One\nTwo" in prompt(CHATML, [{"role": "user", "content": parts}])


@pytest.mark.parametrize("message", [{"role": "assistant", "content": None}, {"role": "assistant"}])
def test_content_may_be_null_or_absent(message: Any) -> None:
    assert "<|im_start|>assistant\n<|im_end|>" in prompt(CHATML, [CHAT[1], message])


def test_a_template_that_takes_only_parts_gets_parts() -> None:
    template = "{% for m in messages %}{% for part in m.content %}<{{ part.text }}>{% endfor %}{% endfor %}"
    assert prompt(template, CHAT[-1:]) == "<Weather?>"


def test_what_the_system_says_goes_to_the_first_user_where_a_template_knows_no_system() -> None:
    assert prompt(NO_SYSTEM, CHAT).startswith("<|im_start|>user\nBe brief.\n\nHi<|im_end|>")
    assert prompt(NO_SYSTEM, CHAT[:1]).startswith("<|im_start|>user\nBe brief.<|im_end|>")


def test_a_developer_is_the_system_where_a_template_knows_none() -> None:
    developer = [{**CHAT[0], "role": "developer"}, *CHAT[1:]]
    assert prompt(CHATML, developer) == prompt(CHATML, CHAT)
    assert "<|im_start|>developer" in prompt(CHATML + "{# developer #}", developer)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{{ call.function.arguments | tojson }}", '{"city": "Köln"}'),
        ("{{ call.function.arguments.city }}", "Köln"),
        ("{{ 'J' + call.function.arguments }}", 'J{"city": "Köln"}'),  # needs a text
        ("{{ call.function.arguments }}", '{"city": "Köln"}'),  # would be Python's way to write a mapping
    ],
)
def test_calls_have_their_arguments_as_the_template_takes_them(written: str, expected: str) -> None:
    assert f"weather: {expected}<|im_end|>" in prompt(WITH_CALLS.replace("ARGUMENTS", written), CALLING)


def test_arguments_that_are_no_json_stay_as_the_model_wrote_them() -> None:
    calls = [{"function": {"name": "weather", "arguments": "{city"}}]
    chat = [CALLING[0], {"role": "assistant", "tool_calls": calls}]
    assert "weather: {city<" in prompt(WITH_CALLS.replace("ARGUMENTS", "{{ call.function.arguments }}"), chat)


def test_the_result_of_a_call_has_the_function_s_name() -> None:
    assert "<|im_start|>tool weather\nRain" in prompt(WITH_CALLS, CALLING)


def test_a_template_that_takes_only_short_ids_gets_short_ones() -> None:
    template = (
        "{% for m in messages %}{% set id = m.tool_call_id or (m.tool_calls or [{}])[0].id %}"
        "{% if id and id | length != 9 %}{{ raise_exception('9') }}{% endif %}{{ id }}/{% endfor %}"
    )
    _, call, result, _ = prompt(template, CALLING).split("/")
    assert call == result and len(call) == 9


@pytest.mark.parametrize(
    ("template", "messages", "says"),
    [
        (None, CHAT, "no chat template"),
        ("", CHAT, "no chat template"),
        (" \n", CHAT, "no chat template"),
        ("{% for", CHAT, "refuses these messages"),
        ("{{ raise_exception('Roles must\nalternate') }}", CHAT, "refuses these messages: Roles must alternate"),
        ("{{ 1 / 0 }}", CHAT, "division by zero"),
        ("{{ messages + 1 }}", CHAT, "refuses these messages"),
        ("{{ messages[9].content }}", CHAT, "refuses these messages"),
        ("{% set x = '' %}", CHAT, "empty prompt"),
        (CHATML, [{"role": "user", "content": "\ud800"}], "half a character"),
        (CHATML, [], "messages is empty"),
        (CHATML, ["Hi"], "each message needs a role"),
        (CHATML, [{"content": "Hi"}], "each message needs a role"),
        (CHATML, [{"role": "user", "content": [{"type": "image_url"}]}], "only text can be read here.*'image_url'"),
        (CHATML, [{"role": "user", "content": 5}], "content must be a list"),
        (CHATML, [{"role": "user", "content": [5]}], "only text can be read here"),
        (CHATML, [{"role": "assistant", "tool_calls": 5}], "tool_calls must be a list"),
        (CHATML, [{"role": "assistant", "tool_calls": [5]}], "each of tool_calls needs"),
        (CHATML, [{"role": "assistant", "tool_calls": [{"id": ["a"], "function": {"name": "f"}}]}], "id of each"),
    ],
)
def test_what_cannot_be_a_prompt_is_one_clear_line(template: str | None, messages: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        prompt(template, messages)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["chat_template", "tokenize", "documents", "continue_final_message", "bos_token"])
def test_a_variable_cannot_replace_what_is_ours(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is no variable"):
        prompt(CHATML, CHAT, **{name: "x"})


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        (CHATML.replace("<|im_end|>", "<|eot_id|>"), "<|eot_id|>"),
        (CHATML.replace("<|im_end|>", "<end_of_turn>"), "<end_of_turn>"),
        (CHATML.replace("<|im_end|>", "\n<|im_end|>"), "<|im_end|>"),
        (CHATML.replace("<|im_end|>", ""), "<|im_start|>"),  # an answer ends where the next turn begins
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", None),
        ("{{ raise_exception('no') }}", None),
        (None, None),
    ],
)
def test_an_answer_ends_with_what_the_template_ends_a_turn_with(template: str | None, end: str | None) -> None:
    tokenizer = tokenizer_with(template)
    expected = {7, tokenizer.eos_token_id} | ({tokenizer.convert_tokens_to_ids(end)} if end else set())
    assert end_tokens(tokenizer, SimpleNamespace(eos_token_id=[7])) == sorted(expected)


def test_the_end_tokens_of_configurations_count_whatever_form_they_have() -> None:
    tokenizer = vocabularies.demo()
    assert end_tokens(tokenizer, SimpleNamespace(eos_token_id=5)) == [1, 5]
    assert end_tokens(tokenizer, SimpleNamespace(eos_token_id=None)) == [1]
    assert templates.tokenizer_with(None).eos_token_id not in [1, 5]


def test_a_text_far_longer_than_the_context_is_refused_before_it_is_made_tokens_of() -> None:
    tokenizer = tokenizer_with(CHATML)
    with pytest.raises(ContextTooLong, match=r"has 1000000 characters.*8 tokens"):
        encoded(tokenizer, "a" * 1_000_000, 8)
    assert len(encoded(tokenizer, "a b c", 8)) > 0
