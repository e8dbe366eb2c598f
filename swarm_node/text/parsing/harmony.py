"""gpt-oss's answers: messages on channels. Its own package, openai-harmony, downloads its vocabulary when it runs."""

from __future__ import annotations

import re

from swarm_node.text.deltas import Delta
from swarm_node.text.marks import cut_at_mark
from swarm_node.text.parsing.calls import Call, Tools, arguments_of
from swarm_node.text.parsing.parts import Parts

START, CHANNEL, CONSTRAIN, MESSAGE = "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>", START)
MARKS = frozenset({CHANNEL, CONSTRAIN, MESSAGE, *_ENDS})


class HarmonyParser:
    """Parser of one answer: a header up to ``<|message|>``, a body up to ``<|end|>`` or its like, and again."""

    def __init__(self, *, prompt_text: str, tools: Tools, keep: frozenset[str]) -> None:
        self.keep = keep
        self._tools = tools
        self._parts = Parts(MARKS)
        self._buffer = ""
        self._header: str | None = ""
        """What was read of a header; None within a body."""
        self._channel = "final"
        self._function: str | None = None
        self._body: list[str] = []
        _, _, open_header = prompt_text.rpartition(START)
        if MESSAGE in open_header and not any(end in open_header for end in _ENDS):
            self._open(open_header.partition(MESSAGE)[0])

    def push(self, text: str) -> list[Delta]:
        """The parts that are certain with ``text``."""
        self._buffer += text
        while self._step():
            pass
        return self._parts.take()

    def end(self) -> list[Delta]:
        """The rest of the answer."""
        self._text(self._buffer)
        self._buffer = ""
        if self._header is None:
            self._close()
        elif self._header.strip():  # no message after all
            self._parts.content(self._header)
        return self._parts.end()

    def _step(self) -> bool:
        watched = _ENDS if self._header is None else (MESSAGE,)
        text, mark, self._buffer = cut_at_mark(self._buffer, watched)
        self._text(text)
        if mark is None:
            return False
        if self._header is None:
            self._close()
        else:
            self._open(self._header)
        return True

    def _open(self, header: str) -> None:
        channel = re.search(re.escape(CHANNEL) + r"\s*(\w+)", header)
        function = re.search(r"\bto=functions\.([^\s<]+)", header)
        self._channel = channel[1] if channel else "final"
        self._function = function[1] if function else None
        self._header = None

    def _text(self, text: str) -> None:
        if self._header is not None:
            self._header += text
        elif self._function is not None:
            self._body.append(text)
        elif self._channel == "analysis":
            self._parts.reasoning(text)
        else:  # what is on "commentary" and calls nothing is for who asked, too
            self._parts.content(text)

    def _close(self) -> None:
        body, self._body, self._header = "".join(self._body), [], ""
        if self._function is None:
            return
        arguments = arguments_of(body)
        if arguments is not None and self._tools:
            self._parts.calls([Call(self._function, arguments)])
        else:
            self._parts.content(body)
