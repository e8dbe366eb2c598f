"""Reasoning, calls and content are told apart as each kind of model writes them."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from swarm_node.text import (
    AnswerParser,
    Content,
    Delta,
    Reasoning,
    TextPieces,
    ToolCallArguments,
    ToolCallBegun,
    answer_parser,
)
from tests.text import templates
from tests.text.templates import CONTROL

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            },
        },
    }
    for name in ("weather", "time")
]
WEATHER = '{"name": "weather", "arguments": {"city": "Köln", "days": 2}}'
TIME = '{"name": "time", "arguments": {}}'
CALLED = [("weather", {"city": "Köln", "days": 2}), ("time", {})]

ANSWERS: dict[str, tuple[str, str, str, str, list[Any]]] = {
    "Hermes and Qwen": (
        templates.HERMES,
        f"<think>\nHm.\n</think>\n\nI look.\n<tool_call>\n{WEATHER}\n</tool_call>\n<tool_call>\n{TIME}\n</tool_call>",
        "Hm.",
        "I look.",
        CALLED,
    ),
    "Qwen3-Coder": (
        templates.QWEN_CODER,
        "I look.\n<tool_call>\n<function=weather>\n<parameter=city>\nKöln\n</parameter>\n<parameter=days>\n2\n"
        "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=time>\n</function>\n</tool_call>",
        "",
        "I look.",
        CALLED,
    ),
    "GLM": (
        templates.GLM,
        "<think>Hm.</think>\nI look.\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Köln</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n<tool_call>time\n</tool_call>",
        "Hm.",
        "I look.",
        CALLED,
    ),
    "Mistral": (
        templates.MISTRAL,
        f"[THINK]Hm.[/THINK]I look.[TOOL_CALLS][{WEATHER}, {TIME}]",
        "Hm.",
        "I look.",
        CALLED,
    ),
    "newer Mistral": (
        templates.MISTRAL,
        'I look.[TOOL_CALLS]weather[ARGS]{"city": "Köln", "days": 2}[TOOL_CALLS]time[ARGS]{}',
        "",
        "I look.",
        CALLED,
    ),
    "DeepSeek R1": (
        templates.DEEPSEEK,
        "<think>\nHm.\n</think>\n\nI look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n"
        '```json\n{"city": "Köln", "days": 2}\n```<｜tool▁call▁end｜>\n'
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>time\n"
        "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "Hm.",
        "I look.",
        CALLED,
    ),
    "DeepSeek V3.1": (
        templates.DEEPSEEK,
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city": "Köln", "days": 2}<｜tool▁call▁end｜>'
        "<｜tool▁call▁begin｜>time<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "",
        "",
        CALLED,
    ),
    "Llama 3": (
        templates.LLAMA,
        '{"name": "weather", "parameters": {"city": "Köln", "days": 2}}; {"name": "time", "parameters": {}}',
        "",
        "",
        CALLED,
    ),
    "Llama 3 with its tag": (
        templates.LLAMA,
        f"<|python_tag|>{WEATHER}; {TIME}",
        "",
        "",
        CALLED,
    ),
    "Kimi": (
        templates.KIMI,
        "I look.<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>"
        '{"city": "Köln", "days": 2}<|tool_call_end|><|tool_call_begin|>functions.time:1'
        "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
        "",
        "I look.",
        CALLED,
    ),
    "Phi and Granite": (
        templates.PHI,
        f"I look.<|tool_call|>[{WEATHER}, {TIME}]<|/tool_call|>",
        "",
        "I look.",
        CALLED,
    ),
    "gpt-oss": (
        templates.HARMONY,
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.weather <|constrain|>json<|message|>"
        '{"city": "Köln", "days": 2}<|call|>'
        "<|start|>assistant to=functions.time<|channel|>commentary json<|message|>{}",
        "Hm.",
        "I look.",
        CALLED,
    ),
    "a tokenizer's own template": (
        "",
        f"<think>\nHm.\n</think>\n\nI look.\n<tool_call>\n{WEATHER}\n</tool_call>\n<tool_call>\n{TIME}\n</tool_call>",
        "Hm.",
        "I look.",
        CALLED,
    ),
}
BROKEN = {
    "Hermes and Qwen": "A<tool_call>{'name': weather</tool_call>B",
    "Qwen3-Coder": "A<tool_call><function=weather<parameter=city></tool_call>B",
    "GLM": "A<tool_call>weather city</tool_call>B",
    "Mistral": "A[TOOL_CALLS]weather(Köln)B",
    "DeepSeek R1": "A<｜tool▁call▁begin｜>weather<｜tool▁sep｜>Köln<｜tool▁call▁end｜>B",
    "Llama 3": '{"name": "weather", AB',
    "gpt-oss": "<|channel|>commentary to=functions.weather<|message|>A Köln B<|call|>",
    "a tokenizer's own template": "A<tool_call>{'name': weather</tool_call>B",
}


@cache
def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    template = ANSWERS[kind][0]
    return templates.tokenizer_with(template or templates.CHATML, None if template else templates.RESPONSE)


def parser_of(kind: str, prompt_text: str = "<|im_start|>assistant\n", tools: Any = TOOLS) -> AnswerParser:
    return answer_parser(tokenizer_of(kind), "llama", prompt_text, tools)


def parse(parser: AnswerParser, pieces: list[str]) -> list[Delta]:
    return [*(delta for piece in pieces for delta in parser.push(piece)), *parser.end()]


def parts(deltas: list[Delta]) -> tuple[str, str, list[Any]]:
    """Reasoning, content and calls."""
    names = {delta.index: delta.name for delta in deltas if isinstance(delta, ToolCallBegun)}
    arguments = dict.fromkeys(names, "")
    for delta in deltas:
        if isinstance(delta, ToolCallArguments):
            arguments[delta.index] += delta.text
    reasoning = "".join(delta.text for delta in deltas if isinstance(delta, Reasoning))
    content = "".join(delta.text for delta in deltas if isinstance(delta, Content))
    return reasoning, content, [(name, json.loads(arguments[index])) for index, name in names.items()]


def order(deltas: list[Delta]) -> list[tuple[str, str]]:
    """Joined deltas, without the calls' ids."""
    joined: list[tuple[str, str]] = []
    for delta in deltas:
        kind = type(delta).__name__
        text = delta.name if isinstance(delta, ToolCallBegun) else delta.text
        if joined and joined[-1][0] == kind and isinstance(delta, Content | Reasoning):
            text = joined.pop()[1] + text
        joined.append((kind, text))
    return joined


@pytest.mark.parametrize("kind", ANSWERS)
def test_reasoning_content_and_calls_come_apart(kind: str) -> None:
    _, answer, *expected = ANSWERS[kind]
    assert parts(parse(parser_of(kind), [answer])) == tuple(expected)


@pytest.mark.parametrize("kind", ANSWERS)
@settings(max_examples=30)
@given(data=st.data())
def test_the_parts_do_not_depend_on_how_the_answer_was_cut(kind: str, data: st.DataObject) -> None:
    answers = [ANSWERS[kind][1], BROKEN.get(kind, ""), "Just text.\n", "<think>x</think> [TOOL_CALLS] {", '{"a": 1}']
    answer = data.draw(st.sampled_from(answers))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(answer)))))
    pieces = [answer[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    assert order(parse(parser_of(kind), pieces)) == order(parse(parser_of(kind), [answer]))


@pytest.mark.parametrize("kind", ANSWERS)
def test_no_delta_has_a_control_token_when_the_answer_comes_token_by_token(kind: str) -> None:
    _, answer, *expected = ANSWERS[kind]
    tokenizer, parser = tokenizer_of(kind), parser_of(kind)
    pieces = TextPieces(tokenizer, keep=parser.keep)
    ids = tokenizer(answer + "<|im_end|>")["input_ids"]
    deltas = parse(parser, [*(pieces.push(one) for one in ids), pieces.end()])
    assert parts(deltas) == tuple(expected)
    assert not any(name in text for _, text in order(deltas) for name in CONTROL)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_malformed_call_is_content_and_nothing_is_lost(kind: str) -> None:
    reasoning, content, calls = parts(parse(parser_of(kind), [BROKEN[kind]]))
    assert not calls and not reasoning
    assert "weather" in content or kind == "gpt-oss"
    assert content.index("A") < content.index("B")


@pytest.mark.parametrize("kind", ANSWERS)
def test_without_tools_nothing_is_a_call(kind: str) -> None:
    _, content, calls = parts(parse(parser_of(kind, tools=()), [ANSWERS[kind][1]]))
    assert not calls
    assert "Köln" in content


@pytest.mark.parametrize("kind", ["Hermes and Qwen", "a tokenizer's own template"])
def test_reasoning_that_the_prompt_began_is_reasoning(kind: str) -> None:
    deltas = parse(parser_of(kind, "<|im_start|>assistant\n<think>\n"), ["Hm.\n</think>\n\nYes."])
    assert parts(deltas) == ("Hm.", "Yes.", [])


def test_reasoning_that_the_prompt_forbade_is_none() -> None:
    deltas = parse(parser_of("Hermes and Qwen", "<|im_start|>assistant\n<think>\n\n</think>\n\n"), ["Yes."])
    assert parts(deltas) == ("", "Yes.", [])


def test_an_answer_that_ends_within_reasoning_is_reasoning() -> None:
    assert parts(parse(parser_of("GLM"), ["<think>I wonder"])) == ("I wonder", "", [])


@pytest.mark.parametrize(
    ("written", "types", "read"),
    [
        ("2", "string", "2"),
        ("2", "integer", 2),
        ("2", ["string", "null"], "2"),
        ("null", ["string", "null"], None),
        ("True", "boolean", True),
        ('["a"]', "array", ["a"]),
        ("two\nlines", None, "two\nlines"),
        ("NaN", "number", "NaN"),
    ],
)
def test_arguments_without_quotes_have_the_type_that_the_tool_asks_for(written: str, types: Any, read: Any) -> None:
    schema = {"type": "object", "properties": {"x": {"type": types} if types else {}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    answer = f"<tool_call><function=f><parameter=x>\n{written}\n</parameter></function></tool_call>"
    assert parts(parse(parser_of("Qwen3-Coder", tools=tools), [answer]))[2] == [("f", {"x": read})]


@pytest.mark.parametrize("call", ['{"name": "f", "arguments": {"x": NaN}}', '{"name": "f\\n", "arguments": {}}', "7"])
def test_what_others_could_not_read_is_no_call(call: str) -> None:
    assert parts(parse(parser_of("Hermes and Qwen"), [f"<tool_call>{call}</tool_call>"]))[1:] == (
        f"<tool_call>{call}</tool_call>",
        [],
    )


def test_a_number_that_no_double_holds_becomes_the_largest_that_one_does() -> None:
    answer = '<tool_call>{"name": "f", "arguments": {"x": [9e999, -9e999]}}</tool_call>'
    calls = parts(parse(parser_of("Hermes and Qwen"), [answer]))[2]
    assert calls == [("f", {"x": [sys.float_info.max, -sys.float_info.max]})]


def test_half_a_character_in_a_call_can_be_sent() -> None:
    answer = '<tool_call>{"name": "f", "arguments": {"x": "\\ud800"}}</tool_call>'
    arguments = [d.text for d in parse(parser_of("Hermes and Qwen"), [answer]) if isinstance(d, ToolCallArguments)]
    assert arguments[0].encode() == b'{"x": "\\ud800"}'


def test_a_json_answer_is_no_call_of_a_function_that_there_is_not() -> None:
    answer = '{"name": "Ada", "parameters": {}}'
    assert parts(parse(parser_of("Llama 3"), [answer])) == ("", answer, [])


def test_python_for_the_interpreter_is_content() -> None:
    assert parts(parse(parser_of("Llama 3"), ["<|python_tag|>print(1)"])) == ("", "print(1)", [])


def test_content_comes_at_once() -> None:
    parser = parser_of("Hermes and Qwen")
    assert [parser.push(piece) for piece in ("Hel", "lo", " you <", "b>")] == [
        [Content("Hel")],
        [Content("lo")],
        [Content(" you")],
        [Content(" <b>")],
    ]


def test_a_broken_template_for_answers_does_not_keep_the_answer_from_being_read() -> None:
    tokenizer = templates.tokenizer_with(templates.HERMES, {"version": 7})
    assert parts(parse(answer_parser(tokenizer, "qwen3", "", TOOLS), [f"<tool_call>{TIME}</tool_call>"]))[2] == [
        ("time", {})
    ]


def test_a_model_without_a_template_writes_content() -> None:
    parser = answer_parser(templates.tokenizer_with(None), "llama", "", TOOLS)
    assert parse(parser, ["<think> a ", " b "]) == [Content("<think> a"), Content("  b"), Content(" ")]
