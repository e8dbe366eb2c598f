"""Which way a model writes its calls and its reasoning: told by its chat template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from routing.errors import UsageError
from swarm_node.text.deltas import Delta
from swarm_node.text.parsing import calls, harmony
from swarm_node.text.parsing.harmony import HarmonyParser
from swarm_node.text.parsing.tagged import Marks, TaggedParser
from swarm_node.text.parsing.templated import UNREADABLE, TemplatedParser
from swarm_node.text.pieces import special_tokens
from swarm_node.text.prompt import template_source

HERMES = Marks("<tool_call>", "</tool_call>", calls.read_json)
QWEN_CODER = Marks("<tool_call>", "</tool_call>", calls.read_qwen_coder)
GLM_PAIRS = ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")
GLM = Marks("<tool_call>", "</tool_call>", calls.read_glm, inside=GLM_PAIRS)
MISTRAL = Marks("[TOOL_CALLS]", None, calls.read_mistral, inside=("[ARGS]", "[CALL_ID]"))
DEEPSEEK = Marks(
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    calls.read_deepseek,
    around=("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
    inside=("<｜tool▁sep｜>",),
)
LLAMA = Marks(
    "<|python_tag|>",
    None,
    calls.read_json,
    bare=('{"name"', '{"type":"function"', '[{"name"'),
    read_bare=calls.read_known_json,
)
WAYS: tuple[tuple[re.Pattern[str], Marks], ...] = (
    (re.compile("<arg_key>"), GLM),
    (re.compile("<function="), QWEN_CODER),
    (re.compile("<tool_call>"), HERMES),
    (re.compile("tool▁call▁begin"), DEEPSEEK),
    (re.compile(r"\[TOOL_CALLS\]"), MISTRAL),
    (re.compile(r"<\|python_tag\|>|<\|start_header_id\|>"), LLAMA),
)
"""The first whose pattern is in the chat template."""
THINKING = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
)
"""The first whose end is in the chat template."""


class AnswerParser(Protocol):
    """Tells the parts of one answer apart while it is written. All deltas joined do not depend on how it was cut."""

    keep: frozenset[str]
    """Special tokens that the parser must see: TextPieces takes them."""

    def push(self, text: str) -> list[Delta]:
        """The parts that are certain with ``text``."""

    def end(self) -> list[Delta]:
        """The rest of the answer."""


def answer_parser(
    tokenizer: PreTrainedTokenizerBase,
    model_type: str,
    prompt_text: str,
    tools: Sequence[Mapping[str, Any]] = (),
) -> AnswerParser:
    """The parser of one answer to ``prompt_text``, which has its special tokens.

    Without ``tools`` nothing is read as a call. What cannot be read as one is content.
    """
    names = frozenset(special_tokens(tokenizer).values())
    if (template := getattr(tokenizer, "response_template", None)) is not None:
        written = "\n".join(_strings(template))
        keep = frozenset(name for name in names if name in written or re.escape(name) in written)
        try:
            return TemplatedParser(tokenizer, tools=tools, prompt_text=prompt_text, hidden=keep)
        except UNREADABLE:  # it is the model's own file, and there are other ways
            pass
    known = calls.schemas(tools)
    if is_harmony(tokenizer, model_type):
        return HarmonyParser(prompt_text=prompt_text, tools=known)
    marks = way_of(tokenizer, tools) if tools else None
    source = _source(tokenizer, tools)
    thinking = next((pair for pair in THINKING if pair[1] in source), None)
    keep = names & {*(marks.all() if marks else ()), *(thinking or ())}
    return TaggedParser(marks, thinking, tools=known, prompt_text=prompt_text, hidden=keep)


def way_of(tokenizer: PreTrainedTokenizerBase, tools: Sequence[Mapping[str, Any]]) -> Marks | None:
    """How the model writes calls; None if nothing tells, or if it is gpt-oss's way."""
    source = _source(tokenizer, tools)
    return next((marks for pattern, marks in WAYS if pattern.search(source)), None)


def is_harmony(tokenizer: PreTrainedTokenizerBase, model_type: str) -> bool:
    """Whether the model writes messages on channels."""
    return model_type == "gpt_oss" or harmony.CHANNEL + "analysis" in _source(tokenizer, ())


def _source(tokenizer: PreTrainedTokenizerBase, tools: Sequence[Mapping[str, Any]]) -> str:
    try:
        return template_source(tokenizer, tools)
    except UsageError:
        return ""


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
