"""What an answer may look like, in llguidance's dialect of Lark."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from swarm_node.text.parsing.tagged import Thought
from swarm_node.text.parsing.ways import CallForm
from swarm_node.text.settings import LONGEST_SPACE

_TEXT = r"/(.|\n)*/"


class LarkText:
    """A grammar that is being put together."""

    def __init__(self, special: Mapping[str, int]) -> None:
        """``special``: tokens that are no text, by their names."""
        self._special = special
        names = sorted(map(re.escape, special), key=len, reverse=True)
        self._pattern = re.compile("(" + "|".join(names) + ")") if names else None
        self._rules: list[str] = []

    def whole(self, thought: Thought | None, answer: str) -> str:
        """The grammar of a thought, if the model thinks, and then ``answer``."""
        if thought is not None:
            rest = self._until(thought.closes) + f" /\\s{{0,{LONGEST_SPACE}}}/"
            answer = f"{rest} {answer}" if thought.begun else f"({self.literal(thought.opens)} {rest})? {answer}"
        return "\n".join(["%llguidance {}", f"start: {answer}", *self._rules])

    def literal(self, text: str) -> str:
        """Exactly ``text``, its control tokens as tokens."""
        parts = self._pattern.split(text) if self._pattern is not None else [text]
        return " ".join(
            f"<[{self._special[part]}]>" if part in self._special else json.dumps(part, ensure_ascii=False)
            for part in parts
            if part
        )

    def json(self, schema: Mapping[str, Any]) -> str:
        """JSON text of ``schema``."""
        space = {"whitespace_pattern": " ?"}  # where it may write more, a small model writes nothing else
        return "%json " + json.dumps({**schema, "x-guidance": space}, ensure_ascii=False)

    def calls(self, form: CallForm, tools: Mapping[str, Mapping[str, Any]], *, one: bool) -> str:
        """Calls of any of ``tools``."""
        call = self._rule(" | ".join(self._call(form, name, schema) for name, schema in tools.items()))
        more = "" if one or form.between is None else f"({self.literal(form.between)} {call})*"
        return f"{self.literal(form.first)} {call} {more} {self.literal(form.last)}"

    def _call(self, form: CallForm, name: str, schema: Mapping[str, Any]) -> str:
        begin = self.literal(form.begin.replace("NAME", name))
        arguments = self._parameters(form.parameter, schema) if form.parameter else self.json(schema)
        return f"{begin} {arguments} {self.literal(form.end)}"

    def _parameters(self, around: tuple[str, str], schema: Mapping[str, Any]) -> str:
        parameters = []
        required = schema.get("required") or ()
        shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        for key, value in (schema.get("properties") or {}).items():
            begin, end = self.literal(around[0].replace("KEY", key)), around[1]
            parameter = self._rule(f"{begin} {self._value(value, shared, end)}")
            parameters.append(parameter if key in required else f"{parameter}?")
        return " ".join(parameters)

    def _value(self, schema: Any, shared: Mapping[str, Any], end: str) -> str:
        if not isinstance(schema, Mapping) or schema.get("type") != "string":
            return f"{self.json({**(schema if isinstance(schema, Mapping) else {}), **shared})} {self.literal(end)}"
        choices = schema.get("enum")
        if isinstance(choices, list) and choices and all(isinstance(one, str) and one for one in choices):
            return f"({' | '.join(self.literal(one) for one in choices)}) {self.literal(end)}"
        return self._until(end)

    def _until(self, end: str) -> str:
        """Any text up to ``end``, and that."""
        if self._pattern is not None and self._pattern.match(end):
            return f"{_TEXT} {self.literal(end)}"
        return self._rule(f"{_TEXT} {self.literal(end)}", lazy=True)

    def _rule(self, body: str, *, lazy: bool = False) -> str:
        name = f"part_{len(self._rules)}"
        self._rules.append(f"{name}{'[lazy]' if lazy else ''}: {body}")
        return name
