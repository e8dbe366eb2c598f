"""A chat's messages in the forms that chat templates take."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from routing.errors import UsageError

Message = dict[str, Any]
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")


def plain_messages(messages: Sequence[Mapping[str, Any]], *, knows_developers: bool) -> list[Message]:
    """OpenAI's messages as most templates take them: each content a text, each call's arguments a mapping.

    Raises UsageError for what is no message, and for parts that are no text.
    """
    names: dict[str, str] = {}
    plain = []
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise UsageError("each message needs a role (system, user, assistant or tool) and a content")
        one = {key: value for key, value in message.items() if value is not None}
        one["content"] = _text(message.get("content"))
        if one["role"] == "developer" and not knows_developers:
            one["role"] = "system"
        if "tool_calls" in one:
            one["tool_calls"] = [_call(call) for call in _list(one["tool_calls"], "tool_calls")]
            names |= {call["id"]: call["function"]["name"] for call in one["tool_calls"] if "id" in call}
            if not one["tool_calls"]:
                del one["tool_calls"]
        if one["role"] == "tool" and "name" not in one and str(one.get("tool_call_id")) in names:
            one["name"] = names[str(one["tool_call_id"])]
        plain.append(one)
    if not plain:
        raise UsageError("messages is empty; give at least one")
    return plain


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """What the system says, put before the first user's words: for templates that know no system."""
    said = [message["content"] for message in messages if message["role"] == "system"]
    rest = [dict(message) for message in messages if message["role"] != "system"]
    if not said:
        return rest
    first = next((message for message in rest if message["role"] == "user"), None)
    if first is None:
        rest.insert(0, {"role": "user", "content": "\n\n".join(said)})
    else:
        first["content"] = "\n\n".join([*said, first["content"]])
    return rest


def with_short_ids(messages: Sequence[Message]) -> list[Message]:
    """Calls' ids as nine letters or digits, which is all that Mistral's templates take."""
    changed = []
    for message in messages:
        if "tool_calls" in message:
            message = {**message, "tool_calls": [_with_short_id(call) for call in message["tool_calls"]]}
        changed.append(_with_short_id(message, "tool_call_id"))
    return changed


def with_json_arguments(messages: Sequence[Message]) -> list[Message]:
    """Calls' arguments as JSON text."""
    changed = []
    for message in messages:
        if "tool_calls" in message:
            message = {**message, "tool_calls": [_with_json_arguments(call) for call in message["tool_calls"]]}
        changed.append(message)
    return changed


def with_text_parts(messages: Sequence[Message]) -> list[Message]:
    """Contents as lists of one part, for templates of models that also see."""
    return [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in _list(content, "content"):
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        text = part.get("refusal" if kind == "refusal" else "text") if isinstance(part, Mapping) else part
        if not isinstance(text, str) or (isinstance(part, Mapping) and kind not in _TEXT_PARTS):
            raise UsageError(f"only text can be read here, and a message has a part of type {str(kind)[:40]!r}")
        texts.append(text)
    return "\n".join(texts)


def _call(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UsageError('each of tool_calls needs {"function": {"name": …, "arguments": …}}')
    if not isinstance(call.get("id", ""), str):
        raise UsageError("the id of each of tool_calls must be a text")
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            read = json.loads(arguments)
        except (ValueError, RecursionError):  # a model may have written anything; the template decides
            read = None
        arguments = read if isinstance(read, dict) else arguments
    return {**call, "type": "function", "function": {**function, "arguments": arguments}}


def _with_short_id(named: dict[str, Any], key: str = "id") -> dict[str, Any]:
    name = named.get(key)
    if not isinstance(name, str) or (len(name) == 9 and name.isalnum()):
        return named
    return {**named, key: hashlib.sha256(name.encode()).hexdigest()[:9]}


def _with_json_arguments(call: dict[str, Any]) -> dict[str, Any]:
    arguments = call["function"]["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": text}}


def _list(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UsageError(f"a message's {name} must be a list")
    return value
