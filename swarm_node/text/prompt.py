"""A prompt from a chat's messages, by the model's own chat template."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from routing.errors import UsageError
from swarm_node.text.encoding import encoded
from swarm_node.text.messages import (
    Message,
    fold_system,
    plain_messages,
    with_json_arguments,
    with_short_ids,
    with_text_parts,
)
from swarm_node.text.settings import LONGEST_REASON

_OWN_ARGUMENTS = frozenset(inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters)
# Whatever a template does goes wrong in one of these ways; it is a program that comes with the model.
_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TemplateError,
    TypeError,
    ValueError,
)


def chat_prompt(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    *,
    template: Mapping[str, Any] | None = None,
    context: int | None = None,
) -> list[int]:
    """The tokens after which the model writes its answer; special tokens are those that the template writes.

    ``messages`` and ``tools`` are as in OpenAI's chat completions; ``template`` are further variables for the chat
    template, ``reasoning_effort`` for example. Raises UsageError if there is no template, or it refuses; ContextTooLong
    if the prompt is far longer than ``context`` tokens.
    """
    text = chat_text(tokenizer, messages, tools, template=template)
    if not _is_utf8(text):
        raise UsageError("the messages hold half a character (a lone surrogate); send them as UTF-8")
    ids = encoded(tokenizer, text, context, special=False)
    if not ids:
        raise UsageError("the model's chat template makes an empty prompt of these messages; use completions instead")
    return ids


def chat_text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    *,
    template: Mapping[str, Any] | None = None,
    answer_follows: bool = True,
) -> str:
    """The text of chat_prompt, and its errors; without what begins an answer unless ``answer_follows``."""
    source = template_source(tokenizer, tools)
    variables = dict(template or {})
    if own := sorted(variables.keys() & (_OWN_ARGUMENTS | set(tokenizer.special_tokens_map))):
        raise UsageError(f"{own[0]} is no variable of a chat template; leave it out of chat_template_kwargs")
    plain = plain_messages(messages, knows_developers="developer" in source)
    if "length != 9" in source:
        plain = with_short_ids(plain)
    first: str | None = None
    refusal: Exception | None = None
    # Templates differ in what they take; the first form that shows all of the chat is the one that is meant.
    for folded, json_arguments, parts in itertools.product((False, True), repeat=3):
        form = fold_system(plain) if folded else plain
        form = with_json_arguments(form) if json_arguments else form
        form = with_text_parts(form) if parts else form
        if form == plain and (folded or json_arguments or parts):
            continue
        try:
            text = _render(tokenizer, form, tools, variables, answer_follows)
        except _FAILURES as error:
            refusal = refusal or error
            continue
        if _shows(text, plain):
            return text
        first = text if first is None else first
    if first is None:
        said = " ".join(str(refusal).split())[:LONGEST_REASON] or type(refusal).__name__
        raise UsageError(f"the model's chat template refuses these messages: {said}") from refusal
    return first


def template_source(tokenizer: PreTrainedTokenizerBase, tools: Sequence[Mapping[str, Any]] = ()) -> str:
    """The chat template, as text. Raises UsageError if there is none."""
    try:
        source: str = tokenizer.get_chat_template(tools=list(tools) or None)
    except ValueError:
        source = ""
    if not source.strip():
        raise UsageError("this model has no chat template; give it a prompt to continue instead (completions)")
    return source


def _render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]],
    variables: Mapping[str, Any],
    answer_follows: bool,
) -> str:
    text: str = tokenizer.apply_chat_template(
        list(messages),
        tools=[dict(tool) for tool in tools] or None,
        add_generation_prompt=answer_follows,
        tokenize=False,
        **variables,
    )
    return text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shows(text: str, messages: Sequence[Message]) -> bool:
    """Whether the last user's words are in ``text``, and no call's arguments as Python would write them."""
    words = [message["content"].strip() for message in messages if message["role"] == "user"]
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    arguments = [call["function"]["arguments"] for call in calls]
    return (not words or words[-1] in text) and not any(
        isinstance(one, dict) and one and str(one) in text for one in arguments
    )
