"""Answers that a grammar holds: JSON of a schema, calls of given functions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import llguidance.hf
import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from transformers import PreTrainedTokenizerBase

from routing.errors import UsageError
from swarm_node.text.lark import LarkText
from swarm_node.text.parsing.calls import schemas
from swarm_node.text.parsing.ways import HARMONY, HARMONY_CONTENT, CallForm, is_harmony, thought_of, way_of
from swarm_node.text.pieces import special_tokens
from swarm_node.text.settings import (
    DEEPEST_SCHEMA,
    LONGEST_REASON,
    LONGEST_SCHEMA,
    MOST_GRAMMARS,
    MOST_ITEMS,
    MOST_VOCABULARIES,
)

if TYPE_CHECKING:
    import torch


def grammar_of(
    tokenizer: PreTrainedTokenizerBase,
    model_type: str,
    *,
    vocabulary: int,
    ends: Sequence[int],
    prompt_text: str = "",
    response_format: Mapping[str, Any] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    tool_choice: str = "auto",
    parallel_calls: bool = True,
) -> Grammar | None:
    """What holds an answer to ``prompt_text`` to what was asked; None if that may be anything.

    ``vocabulary`` is the length of the model's logits, ``ends`` its end tokens. ``response_format`` and ``tools`` are
    as in OpenAI's chat completions, ``tool_choice`` and ``parallel_calls`` as in a gateway's
    Turn. Raises UsageError for a schema that no
    grammar can be made of, and for calls that the model is not known to make. The first grammar of a tokenizer takes
    about a second, a large schema some tenths: call it in a thread.
    """
    content = _content_schema(response_format)
    names = schemas(tools)
    if tool_choice.startswith("function:"):
        wanted = tool_choice.removeprefix("function:")
        if wanted not in names:
            raise UsageError(f"tool_choice names {wanted[:64]!r}, which is none of the tools")
        names = {wanted: names[wanted]}
    must_call = tool_choice == "required" or tool_choice.startswith("function:")
    if must_call and not names:
        raise UsageError("tool_choice asks for a call, and there are no tools; give some")
    if content is None and not must_call:
        return None
    for schema in names.values():
        _check(schema)
    lark = LarkText({name: id for id, name in special_tokens(tokenizer).items()})
    if must_call:
        objects = {name: _closed(schema) for name, schema in names.items()}
        one = tool_choice != "required" or not parallel_calls
        answer = lark.calls(_form(tokenizer, model_type, tools), objects, one=one)
    else:
        begin = HARMONY_CONTENT if is_harmony(tokenizer, model_type) else ""
        answer = f"{lark.literal(begin)} {lark.json(content or {})}"
    whole = lark.whole(thought_of(tokenizer, model_type, prompt_text), answer)
    try:
        words = _vocabulary(tokenizer, max(vocabulary, len(tokenizer)), tuple(ends))
    except ValueError as error:
        raise UsageError("this model's tokenizer is of a kind that cannot hold an answer to a schema") from error
    return Grammar(_compiled(words, whole), ends)


class Grammar:
    """What the text of one request must be, for each of its choices."""

    def __init__(self, matcher: LLMatcher, ends: Sequence[int]) -> None:
        self._matcher = matcher
        self._ends = ends

    def processor(self, prompt_tokens: int) -> GrammarProcessor:
        """For one row, of which the first ``prompt_tokens`` tokens are the prompt."""
        return GrammarProcessor(self._matcher.deep_copy(), prompt_tokens, self._ends)


class GrammarProcessor:
    """A logits processor of transformers for one row: what the grammar does not allow gets no probability.

    It may be asked again for a place that it was asked for before, and for any text; the usual next token is cheap.
    Raises UsageError where the grammar has more ways to go on than can be followed.
    Of tokens that processors before it have ruled out, it takes back those that the grammar needs, if none is left.
    """

    def __init__(self, matcher: LLMatcher, prompt_tokens: int, ends: Sequence[int]) -> None:
        self._matcher = matcher
        self._prompt_tokens = prompt_tokens
        self._ends = np.asarray(ends)
        self._text: list[int] = []
        """What the matcher has consumed."""
        self._broken = False
        """By a token that the grammar does not allow."""
        self._told: tuple[int, np.ndarray] | None = None
        """For which place of the text it said last what may come, and what it said."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """``input_ids`` [1, length] with the prompt; ``scores`` [1, vocabulary], of which it makes others."""
        import torch  # it is there by now, and whoever only reads text need not wait for it

        self._follow(input_ids[0, self._prompt_tokens :].tolist())
        ruled_out = torch.from_numpy(~self._allowed(scores.shape[-1])).to(scores.device)
        held = scores.masked_fill(ruled_out, -torch.inf)
        if held.max() == -torch.inf:
            held = torch.zeros_like(scores).masked_fill(ruled_out, -torch.inf)
        return held

    def _follow(self, text: list[int]) -> None:
        same = next((at for at, (new, old) in enumerate(zip(text, self._text, strict=False)) if new != old), None)
        same = min(len(text), len(self._text)) if same is None else same
        if same < len(self._text):
            self._matcher.reset()
            self._text, self._broken, same = [], False, 0
        for at, token in enumerate(text[same:], start=same):
            if not self._broken and not self._matcher.is_stopped() and not self._matcher.consume_token(token):
                if self._told is not None and self._told[0] == at and self._told[1][token]:
                    raise _too_many_ways()
                self._broken = True
        self._text = text

    def _allowed(self, vocabulary: int) -> np.ndarray:
        """Which tokens may come next. After the end, or after a token that nobody may write: only ends."""
        allowed = np.zeros(vocabulary, dtype=np.bool_)
        if self._broken or self._matcher.is_stopped():
            allowed[self._ends[self._ends < vocabulary]] = True
            return allowed
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            raise _too_many_ways()
        mask = np.unpackbits(bits, bitorder="little")[:vocabulary]
        allowed[: len(mask)] = mask
        self._told = len(self._text), allowed
        return allowed


def _too_many_ways() -> UsageError:
    return UsageError("the JSON schema leaves too many ways to go on; make properties required, or fewer")


def _content_schema(response_format: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The schema of an answer's content; None if it may be any text."""
    kind = response_format.get("type") if response_format is not None else "text"
    if response_format is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    if kind != "json_schema":
        raise UsageError(f"response_format is {str(kind)[:40]!r}; choose text, json_object or json_schema")
    described = response_format.get("json_schema")
    schema = described.get("schema", {"type": "object"}) if isinstance(described, Mapping) else None
    if not isinstance(schema, Mapping):
        raise UsageError('response_format needs {"json_schema": {"name": …, "schema": {…}}}')
    _check(schema)
    return schema


def _form(tokenizer: PreTrainedTokenizerBase, model_type: str, tools: Sequence[Mapping[str, Any]]) -> CallForm:
    if is_harmony(tokenizer, model_type):
        return HARMONY
    way = way_of(tokenizer, tools)
    if way is None:
        raise UsageError("this model's chat template shows no way to call functions; leave tool_choice at auto")
    return way.form


def _closed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a function's arguments: those that it has, and no others unless it says so."""
    if schema.keys() & {"$ref", "allOf", "anyOf", "oneOf", "patternProperties"}:
        return {"type": "object", **schema}
    return {"type": "object", "properties": {}, "additionalProperties": False, **schema}


def _check(schema: Mapping[str, Any]) -> None:
    """Raises UsageError if a schema is too large to be worth reading."""
    level: list[Any] = [schema]
    for _ in range(DEEPEST_SCHEMA):
        level = [inner for one in level for inner in _inside(one)]
    if level:
        raise UsageError(f"a JSON schema is deeper than {DEEPEST_SCHEMA} levels; make it flatter, with $defs")
    try:
        length = len(json.dumps(schema, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise UsageError("a JSON schema holds half a character (a lone surrogate); send it as UTF-8") from None
    if length > LONGEST_SCHEMA:
        raise UsageError(f"a JSON schema is longer than {LONGEST_SCHEMA} bytes; make it smaller")


def _inside(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else ()


@lru_cache(maxsize=MOST_VOCABULARIES)
def _vocabulary(tokenizer: PreTrainedTokenizerBase, size: int, ends: tuple[int, ...]) -> LLTokenizer:
    return llguidance.hf.from_tokenizer(tokenizer, n_vocab=size, eos_token=list(ends))


@lru_cache(maxsize=MOST_GRAMMARS)
def _compiled(vocabulary: LLTokenizer, lark: str) -> LLMatcher:
    limits = LLParserLimits(verbose_errors=False, max_items_in_row=MOST_ITEMS, step_max_items=10 * MOST_ITEMS)
    matcher = LLMatcher(vocabulary, LLMatcher.grammar_from_lark(lark), log_level=0, limits=limits)
    if matcher.is_error():
        reason = " ".join(matcher.get_error().split())[:LONGEST_REASON]
        raise UsageError(f"no grammar can be made of the JSON schema: {reason}")
    return matcher
