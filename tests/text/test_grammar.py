"""Answers are held to a schema, or to calls of functions, whatever the model would rather write."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LogitsProcessorList, PreTrainedTokenizerFast

from routing.errors import UsageError
from swarm_node.text import (
    Content,
    Grammar,
    GrammarProcessor,
    Reasoning,
    TextPieces,
    ToolCallArguments,
    ToolCallBegun,
    answer_parser,
    grammar_of,
)
from swarm_node.text.pieces import special_tokens
from tests.text import templates, vocabularies

SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Köln", "Rom"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WORDS = {**SCHEMA, "properties": {**SCHEMA["properties"], "city": {"type": "string", "enum": ["Köln", "Rom"]}}}  # type: ignore[dict-item]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": WORDS}},
    {"type": "function", "function": {"name": "time"}},
]
FORMAT = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA}}
KINDS = {
    "Hermes and Qwen": templates.CHATML + "{# <tool_call> #}",
    "Qwen3-Coder": templates.QWEN_CODER,
    "GLM": templates.CHATML + "{# <tool_call> <arg_key> #}",
    "Mistral": templates.CHATML + "{# [TOOL_CALLS] #}",
    "newer Mistral": templates.CHATML + "{# [TOOL_CALLS] [ARGS] #}",
    "DeepSeek R1": templates.CHATML + "{# <｜tool▁call▁begin｜> ```json #}",
    "DeepSeek V3.1": templates.CHATML + "{# <｜tool▁call▁begin｜> #}",
    "Llama 3": templates.LLAMA,
    "Kimi": templates.CHATML + "{# <|tool_call_begin|> #}",
    "Phi": templates.CHATML + "{# <|tool_call|> #}",
    "Nemotron": templates.CHATML + "{# <TOOLCALL> #}",
    "gpt-oss": templates.HARMONY,
}


@cache
def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    return templates.tokenizer_with(KINDS[kind])


def write(
    tokenizer: PreTrainedTokenizerFast, processor: GrammarProcessor, seed: int, prompt: tuple[int, ...] = (5, 6)
) -> list[int]:
    """The answer of a model that knows nothing."""
    draws = torch.Generator().manual_seed(seed)
    ids = torch.tensor([prompt])
    special = special_tokens(tokenizer)
    hurry = [id for id, name in special.items() if name in ("<|end|>", "</s>")]
    for _ in range(600):
        wishes = torch.randn(1, len(tokenizer) + 5, generator=draws)
        wishes[0, hurry] = 10  # it would think for long
        scores = processor(ids, wishes)
        token = int(scores.softmax(-1).multinomial(1, generator=draws))
        if token == tokenizer.eos_token_id:
            return ids[0, len(prompt) :].tolist()
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    raise AssertionError(f"no end: {tokenizer.decode(ids[0])}")


def grammar(tokenizer: PreTrainedTokenizerFast, **options: Any) -> Grammar:
    made = grammar_of(tokenizer, "llama", vocabulary=len(tokenizer) + 5, ends=[tokenizer.eos_token_id], **options)
    assert made is not None
    return made


def read(tokenizer: PreTrainedTokenizerFast, ids: list[int], prompt_text: str = "") -> tuple[str, str, list[Any]]:
    """Reasoning, content and calls."""
    parser = answer_parser(tokenizer, "llama", prompt_text, TOOLS)
    pieces = TextPieces(tokenizer, keep=parser.keep)
    text = "".join(pieces.push(one) for one in ids) + pieces.end()
    deltas = [*parser.push(text), *parser.end()]
    names = [delta.name for delta in deltas if isinstance(delta, ToolCallBegun)]
    arguments = [json.loads(delta.text) for delta in deltas if isinstance(delta, ToolCallArguments)]
    reasoning = "".join(delta.text for delta in deltas if isinstance(delta, Reasoning))
    content = "".join(delta.text for delta in deltas if isinstance(delta, Content))
    return reasoning, content, list(zip(names, arguments, strict=True))


def is_trip(value: Any) -> bool:
    return set(value) == {"city", "days"} and value["city"] in ("Köln", "Rom") and 1 <= value["days"] <= 9


@pytest.mark.parametrize("seed", range(3))
def test_a_schema_holds_an_answer(seed: int) -> None:
    tokenizer = vocabularies.demo()
    ids = write(tokenizer, grammar(tokenizer, response_format=FORMAT).processor(2), seed)
    assert is_trip(json.loads(tokenizer.decode(ids)))


@pytest.mark.parametrize("vocabulary", [vocabularies.byte_level, vocabularies.byte_fallback])
def test_a_schema_holds_an_answer_in_every_kind_of_vocabulary(vocabulary: Any) -> None:
    ids = write(vocabulary(), grammar(vocabulary(), response_format=FORMAT).processor(2), 0)
    assert is_trip(json.loads(vocabulary().decode(ids)))


def test_json_object_is_any_object() -> None:
    tokenizer = vocabularies.byte_level()
    processor = grammar(tokenizer, response_format={"type": "json_object"}).processor(0)
    opening = processor(torch.tensor([[]], dtype=torch.long), torch.zeros(1, len(tokenizer)))
    assert [tokenizer.decode([one]) for one in opening[0].isfinite().nonzero()[:, 0].tolist()] == ["{"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("choice", ["required", "function:weather"])
def test_a_call_that_must_come_comes_as_the_model_writes_calls(kind: str, choice: str) -> None:
    tokenizer = tokenizer_of(kind)
    made = grammar(tokenizer, tools=TOOLS, tool_choice=choice)
    for seed in range(3):
        _, content, calls = read(tokenizer, write(tokenizer, made.processor(2), seed))
        assert calls and not content
        assert all(is_trip(arguments) for name, arguments in calls if name == "weather")
        assert choice == "required" or [name for name, _ in calls] == ["weather"]


def test_a_model_may_think_before_it_writes_json() -> None:
    tokenizer = templates.tokenizer_with(templates.HERMES)
    prompt_text = "<|im_start|>assistant\n<think>\n"
    processor = grammar(tokenizer, response_format=FORMAT, prompt_text=prompt_text).processor(0)
    ids = tokenizer('I wonder {</think>\n\n{"city": "Rom", "days": 3}')["input_ids"]
    for count in range(len(ids)):
        scores = processor(torch.tensor([ids[:count]], dtype=torch.long), torch.zeros(1, len(tokenizer)))
        assert scores[0, ids[count]].isfinite()
    scores = processor(torch.tensor([ids]), torch.zeros(1, len(tokenizer)))
    assert scores[0, tokenizer.eos_token_id].isfinite()


def test_gpt_oss_thinks_and_writes_json_on_its_last_channel() -> None:
    tokenizer = tokenizer_of("gpt-oss")
    processor = grammar(tokenizer, response_format=FORMAT).processor(0)
    text = "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>"
    ids = tokenizer(text + '{"city": "Rom", "days": 3}')["input_ids"]
    for count in range(len(ids)):
        scores = processor(torch.tensor([ids[:count]], dtype=torch.long), torch.zeros(1, len(tokenizer)))
        assert scores[0, ids[count]].isfinite()


def test_a_row_that_starts_again_or_goes_back_is_held_as_if_it_had_come_there_straight() -> None:
    tokenizer = vocabularies.byte_level()
    made = grammar(tokenizer, response_format=FORMAT)
    ids = [7, 8, *tokenizer('{"city": "Rom", "days": 3}')["input_ids"]]
    scores = torch.zeros(1, len(tokenizer))
    straight = made.processor(2)
    expected = [straight(torch.tensor([ids[:length]]), scores) for length in range(2, len(ids) + 1)]
    jumping = made.processor(2)
    for length in (len(ids), 2, 9, 9, 4, len(ids) - 1, 12):
        assert jumping(torch.tensor([ids[:length]]), scores).equal(expected[length - 2])


def test_rows_of_one_grammar_do_not_disturb_each_other() -> None:
    tokenizer = vocabularies.byte_level()
    made = grammar(tokenizer, response_format=FORMAT)
    alone = write(tokenizer, made.processor(2), 3)
    write(tokenizer, made.processor(2), 4)
    assert write(tokenizer, made.processor(2), 3) == alone


def test_tokens_that_others_ruled_out_come_back_when_the_grammar_needs_them() -> None:
    tokenizer = vocabularies.byte_level()
    processor = grammar(tokenizer, response_format=FORMAT).processor(1)
    scores = processor(torch.tensor([[5]]), torch.full((1, len(tokenizer)), -float("inf")))
    assert tokenizer.decode(scores.argmax(-1)) == "{"


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "top_k": 3}, {"prompt_lookup_num_tokens": 4}])
def test_transformers_generates_json_with_it(options: dict[str, Any]) -> None:
    model = AutoModelForCausalLM.from_pretrained(vocabularies.DEMO)
    tokenizer = vocabularies.demo()
    prompt = tokenizer('Once {"city": "Rom", "days": 3} upon', return_tensors="pt")
    length = prompt["input_ids"].shape[1]
    made = grammar(tokenizer, response_format=FORMAT)
    torch.manual_seed(0)
    held = LogitsProcessorList([made.processor(length)])
    ids = model.generate(**prompt, max_new_tokens=200, logits_processor=held, **options)
    assert is_trip(json.loads(tokenizer.decode(ids[0, length:], skip_special_tokens=True)))


def test_the_same_schema_is_compiled_once() -> None:
    tokenizer = vocabularies.byte_level()
    first, second = (grammar(tokenizer, response_format=FORMAT) for _ in range(2))
    assert first._matcher is second._matcher


def test_what_may_be_any_text_has_no_grammar() -> None:
    options: dict[str, Any] = {"vocabulary": 10, "ends": [1], "tools": TOOLS, "response_format": {"type": "text"}}
    assert grammar_of(vocabularies.byte_level(), "llama", **options) is None


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"response_format": {"type": "xml"}}, "choose text, json_object or json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format needs"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": 5}}}, "response_format needs"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "foo"}}}}, "foo"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "http://a/b"}}}}, "http://a/b"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"pattern": "("}}}}, "unclosed group"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": deep(5000)}}}, "deeper than"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"a": "b" * 200_000}}}}, "longer than"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"const": "\ud800"}}}},
            "half a character",
        ),
        ({"tools": [{"type": "function"}], "tool_choice": "required"}, "each of tools needs"),
        ({"tools": TOOLS, "tool_choice": "function:other"}, "none of the tools"),
        ({"tool_choice": "required"}, "there are no tools"),
        ({"tools": TOOLS, "tool_choice": "required"}, "no way to call functions"),
    ],
)
def test_what_no_grammar_can_be_made_of_is_one_clear_line(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        grammar(vocabularies.byte_level(), **options)
    assert "\n" not in str(raised.value)


def test_a_model_that_is_not_known_to_call_cannot_be_made_to() -> None:
    with pytest.raises(UsageError, match="no way to call functions"):
        grammar(templates.tokenizer_with(templates.CHATML), tools=TOOLS, tool_choice="required")


def optional(count: int) -> dict[str, Any]:
    schema = {"type": "object", "properties": {f"k{index}": {} for index in range(count)}}
    return {"type": "json_schema", "json_schema": {"name": "many", "schema": schema}}


def allows(made: Grammar, tokenizer: PreTrainedTokenizerFast, answer: str) -> bool:
    processor = made.processor(0)
    ids = tokenizer.encode(answer, add_special_tokens=False)
    for at, token in enumerate(ids):
        scores = processor(torch.tensor([ids[:at]], dtype=torch.long), torch.zeros(1, len(tokenizer)))
        if not scores[0, token].isfinite():
            return False
    return True


def test_a_thousand_properties_may_all_be_left_out() -> None:
    tokenizer = vocabularies.byte_level()
    assert allows(grammar(tokenizer, response_format=optional(1000)), tokenizer, '{"k5": "a", "k999": "b"}')


@pytest.mark.slow
def test_an_answer_never_ends_because_there_are_too_many_ways_to_go_on() -> None:
    tokenizer = vocabularies.byte_level()
    with pytest.raises(UsageError, match="too many ways"):
        allows(grammar(tokenizer, response_format=optional(6000)), tokenizer, '{"k5": "a"}')


@pytest.mark.parametrize("template", ["Hermes", "Qwen3-Coder"])
@pytest.mark.parametrize("wrong", [{"required": 5}, {"required": "city"}, {"properties": []}, {"properties": 5}])
def test_parameters_that_are_no_schema_of_an_object_are_one_clear_line(template: str, wrong: dict[str, Any]) -> None:
    source = {"Hermes": templates.HERMES, "Qwen3-Coder": templates.QWEN_CODER}[template]
    tool = {"type": "function", "function": {"name": "look", "parameters": wrong}}
    with pytest.raises(UsageError, match="parameters of look are no JSON schema of an object"):
        grammar(templates.tokenizer_with(source), tools=[tool], tool_choice="required")


@pytest.mark.parametrize("vocabulary", [vocabularies.metaspace, vocabularies.word_piece, vocabularies.word_ends])
def test_a_tokenizer_that_cannot_be_held_is_one_clear_line(vocabulary: Any) -> None:
    with pytest.raises(UsageError, match="tokenizer is of a kind"):
        grammar(vocabulary(), response_format=FORMAT)
