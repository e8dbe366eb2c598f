"""Calls of functions as models write them, read from the text between their marks."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from routing.errors import UsageError

_NAME = re.compile(r"[\w.-]{1,128}")


@dataclass(frozen=True, slots=True)
class Call:
    """A function's name and its arguments, as the JSON text of an object."""

    name: str
    arguments: str


Tools = Mapping[str, Mapping[str, Any]]
"""The schema of each function's arguments, by the function's name."""


def schemas(tools: Sequence[Mapping[str, Any]]) -> Tools:
    """Of tools as in OpenAI's chat completions. Raises UsageError for what is none."""
    found = {}
    for tool in tools:
        function = tool.get("function") if isinstance(tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not _is_name(name):
            raise UsageError(
                'each of tools needs {"type": "function", "function": {"name": …, "parameters": …}} '
                "with a name of letters, digits, _, - and ."
            )
        parameters = function.get("parameters") or {}
        properties = parameters.get("properties", {}) if isinstance(parameters, Mapping) else None
        required = parameters.get("required") or [] if isinstance(parameters, Mapping) else None
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise UsageError(f"the parameters of {name} are no JSON schema of an object")
        found[name] = parameters
    return found


def read_json(body: str, tools: Tools) -> list[Call] | None:
    """``{"name": …, "arguments": …}``, or ``parameters``; one, or many in a list or one after the other."""
    found: list[Any] = []
    at = 0
    while (at := _next(body, at)) < len(body):
        try:
            value, at = _DECODER.raw_decode(body, at)
        except (ValueError, RecursionError):
            return None
        found.extend(value if isinstance(value, list) else [value])
    calls = [_call(one) for one in found]
    return [call for call in calls if call is not None] if calls and None not in calls else None


def read_known_json(body: str, tools: Tools) -> list[Call] | None:
    """The same without marks around it: only calls of functions that there are, for any answer may be JSON."""
    calls = read_json(body, tools)
    return calls if calls and all(call.name in tools for call in calls) else None


def read_mistral(body: str, tools: Tools) -> list[Call] | None:
    """A list of JSON objects, or ``name[ARGS]{…}`` as often as there are calls."""
    calls: list[Call] = []
    for part in body.split("[TOOL_CALLS]"):
        name, args, arguments = part.partition("[ARGS]")
        if args:
            name, _, _ = name.partition("[CALL_ID]")
            one = _with(name, arguments)
        elif named := re.fullmatch(r"\s*([\w.-]+)\s*(\{.*)", part, re.DOTALL):
            one = _with(named[1], named[2])
        else:
            one = read_json(part, tools)
        if one is None:
            return None
        calls += one
    return calls


def read_deepseek(body: str, tools: Tools) -> list[Call] | None:
    """``function<｜tool▁sep｜>name`` and a block of JSON, or ``name<｜tool▁sep｜>{…}``."""
    name, _, rest = body.partition("<｜tool▁sep｜>")
    if name.strip() == "function":
        name, _, rest = rest.partition("\n")
    fenced = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", rest, re.DOTALL)
    return _with(name, fenced[1] if fenced else rest) if rest else None


def read_kimi(body: str, tools: Tools) -> list[Call] | None:
    """``functions.name:0<|tool_call_argument_begin|>{…}``."""
    name, mark, arguments = body.partition("<|tool_call_argument_begin|>")
    name = re.sub(r":\d+\s*$", "", name).strip().removeprefix("functions.")
    return _with(name, arguments) if mark else None


def read_qwen_coder(body: str, tools: Tools) -> list[Call] | None:
    """``<function=name>`` with ``<parameter=key>`` for each argument."""
    whole = re.fullmatch(r"\s*<function=([^<>\s]+)>(.*?)(?:</function>)?\s*", body, re.DOTALL)
    if whole is None:
        return None
    pattern = r"\s*<parameter=([^>\n]+)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|$)"
    return _with_pairs(whole[1], whole[2], pattern, tools)


def read_glm(body: str, tools: Tools) -> list[Call] | None:
    """A name, then ``<arg_key>`` and ``<arg_value>`` by turns."""
    whole = re.fullmatch(r"\s*([^\s<]+)\s*(.*)", body, re.DOTALL)
    if whole is None:
        return None
    pattern = r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>"
    return _with_pairs(whole[1], whole[2], pattern, tools)


def arguments_of(text: str) -> str | None:
    """``text`` if it is a JSON object, ``{}`` if there is nothing; else None."""
    if not text.strip():
        return "{}"
    try:
        return text.strip() if isinstance(_DECODER.decode(text), dict) else None
    except (ValueError, RecursionError):
        return None


def _is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # Half a character, written as an escape, cannot leave this process otherwise.
    return text if text.isprintable() else json.dumps(value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _next(body: str, at: int) -> int:
    between = re.compile(r"[\s;,]*").match(body, at)
    return between.end() if between is not None else at


def _call(value: Any) -> Call | None:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not _is_name(value.get("name")):
        return None
    arguments = value.get("arguments", value.get("parameters"))
    if isinstance(arguments, str):
        text = arguments_of(arguments)
    elif arguments is None or isinstance(arguments, dict):
        text = _json(arguments or {})
    else:
        text = None
    return Call(value["name"], text) if text is not None else None


def _with(name: str, arguments: str) -> list[Call] | None:
    text = arguments_of(arguments)
    return [Call(name.strip(), text)] if text is not None and _is_name(name.strip()) else None


def _with_pairs(name: str, body: str, pattern: str, tools: Tools) -> list[Call] | None:
    if re.sub(pattern, "", body, flags=re.DOTALL).strip():
        return None
    properties = tools.get(name, {}).get("properties") or {}
    pairs = re.findall(pattern, body, re.DOTALL)
    arguments = {key.strip(): _value(text, properties.get(key.strip())) for key, text in pairs}
    return [Call(name, _json(arguments))] if _is_name(name) else None


def _value(text: str, schema: Any) -> Any:
    """An argument that a model wrote without quotes, by the type that is asked for."""
    types = schema.get("type") if isinstance(schema, Mapping) else None
    if types == "string" or (isinstance(types, list) and "string" in types and text.strip() != "null"):
        return text
    try:
        return _DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        return {"True": True, "False": False, "None": None}.get(text.strip(), text)


def _finite(number: str) -> float:
    """JSON has numbers that no double holds; Python would make an Infinity of them, which is no JSON any more."""
    return max(-sys.float_info.max, min(float(number), sys.float_info.max))


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
"""NaN and Infinity, which Python's takes, nobody else could read."""
