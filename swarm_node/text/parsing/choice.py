"""The parser that fits a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from swarm_node.text.deltas import Delta
from swarm_node.text.parsing.calls import schemas
from swarm_node.text.parsing.harmony import MARKS, HarmonyParser
from swarm_node.text.parsing.tagged import TaggedParser
from swarm_node.text.parsing.templated import UNREADABLE, TemplatedParser
from swarm_node.text.parsing.ways import is_harmony, thought_of, way_of
from swarm_node.text.pieces import special_tokens


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
    known = schemas(tools)
    if is_harmony(tokenizer, model_type):
        return HarmonyParser(prompt_text=prompt_text, tools=known, keep=names & MARKS)
    way = way_of(tokenizer, tools) if tools else None
    thought = thought_of(tokenizer, model_type, prompt_text)
    marks = {*(way.marks.all() if way else ()), *((thought.opens, thought.closes) if thought else ())}
    return TaggedParser(way.marks if way else None, thought, tools=known, hidden=names & marks)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
