"""Answers of tokenizers that bring a template for reading them: transformers reads, character by character."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from swarm_node.text.deltas import Delta
from swarm_node.text.parsing.calls import Call, read_json
from swarm_node.text.parsing.parts import Parts

_REASONING = ("reasoning_content", "thinking", "reasoning")
# A field's reader raises whatever its part of the template makes of a malformed text.
UNREADABLE = (ValueError, KeyError, TypeError, RecursionError)


class TemplatedParser:
    """Parser of one answer by ``tokenizer.get_response_parser``.

    It gets one character at a time, so that nothing depends on how the text was cut, and that what was read before a
    malformed call is not lost with it. From there on everything is content.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        tools: Sequence[Mapping[str, Any]],
        prompt_text: str,
        hidden: Collection[str],
    ) -> None:
        """Raises ValueError if the template is none."""
        self.keep = frozenset(hidden)
        self._tools = tools
        self._parser: Any = tokenizer.get_response_parser(prefix=prompt_text, tools=[dict(tool) for tool in tools])
        self._parts = Parts(hidden)
        self._unread = ""
        """Of the part that is not complete, what was not shown yet."""

    def push(self, text: str) -> list[Delta]:
        """The parts that are certain with ``text``."""
        for at, character in enumerate(text):
            if self._parser is None:
                self._parts.content(text[at:])
                break
            self._unread += character
            try:
                self._read(self._parser.feed(character))
            except UNREADABLE:
                self._give_up()
        return self._parts.take()

    def end(self) -> list[Delta]:
        """The rest of the answer."""
        if self._parser is not None:
            try:
                _, events = self._parser.finalize()
                self._read(events)
            except UNREADABLE:
                self._give_up()
        return self._parts.end()

    def _read(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            kind, field = event["type"], event["field"]
            if kind == "region_open":
                self._unread = ""
            elif kind == "region_chunk" and not event["dirty"]:
                if field in _REASONING:
                    self._parts.reasoning(event["text"])
                elif field == "content":
                    self._parts.content(event["text"])
                self._unread = self._unread.removeprefix(event["text"])
            elif kind == "region_close":
                if field == "tool_calls" and self._tools:
                    self._parts.calls(_calls(event["value"]))
                elif field == "tool_calls":
                    self._parts.content(self._unread)
                self._unread = ""

    def _give_up(self) -> None:
        self._parser = None
        self._parts.content(self._unread)
        self._unread = ""


def _calls(value: Any) -> list[Call]:
    """Raises ValueError if there is anything but calls."""
    calls = read_json(json.dumps(value, ensure_ascii=False), {})
    if calls is None:
        raise ValueError("no call")
    return calls
