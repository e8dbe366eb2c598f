"""The parts of an answer, tidied as they come: no control tokens, no space around what was cut out."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable

from swarm_node.text.deltas import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun
from swarm_node.text.marks import cut_at_mark
from swarm_node.text.parsing.calls import Call


class Parts:
    """What a parser has found since it was last asked.

    Space between the parts of an answer belongs to none of them: ``hidden`` strings and it are left out. Content
    alone is given as it is.
    """

    def __init__(self, hidden: Collection[str]) -> None:
        self._hidden = tuple(hidden)
        self._found: list[Delta] = []
        self._kind: type[Content] | type[Reasoning] | None = None
        self._held = ""
        """The beginning of a hidden string, perhaps."""
        self._space = ""
        """It is shown if more of the same part follows."""
        self._cut = False
        """Whether space that comes next stands between two parts."""
        self._calls = 0

    def content(self, text: str) -> None:
        """Text for who asked."""
        self._write(Content, text)

    def reasoning(self, text: str) -> None:
        """Text that the model wrote for itself."""
        self._write(Reasoning, text)

    def calls(self, calls: Iterable[Call]) -> None:
        """Functions that the model calls."""
        self._close()
        self._space, self._cut = "", True
        for call in calls:
            # Mistral's chat template takes nine letters or digits; nobody else minds.
            self._found.append(ToolCallBegun(self._calls, secrets.token_hex(5)[:9], call.name))
            self._found.append(ToolCallArguments(self._calls, call.arguments))
            self._calls += 1

    def take(self) -> list[Delta]:
        """Those found since the call before."""
        found, self._found = self._found, []
        return found

    def end(self) -> list[Delta]:
        """The rest, with the space at the end of an answer that is content alone."""
        self._close()
        if self._space and not self._cut and self._kind is Content:
            self._show(self._space)
        return self.take()

    def _write(self, kind: type[Content] | type[Reasoning], text: str) -> None:
        if kind is not self._kind:
            self._close()
            self._cut = self._cut or self._kind is not None or kind is Reasoning
            self._kind, self._space = kind, ""
        rest, hidden = self._held + text, True
        while hidden:
            text, found, rest = cut_at_mark(rest, self._hidden)
            hidden = found is not None
            self._tidy(text)
        self._held = rest

    def _close(self) -> None:
        held, self._held = self._held, ""
        self._tidy(held)

    def _tidy(self, text: str) -> None:
        if self._cut:
            text = text.lstrip()
        words = text.rstrip()
        if words:
            self._show(self._space + words)
            self._space, self._cut = text[len(words) :], False
        else:
            self._space += text

    def _show(self, text: str) -> None:
        assert self._kind is not None
        last = self._found[-1] if self._found else None
        if isinstance(last, self._kind):
            self._found[-1] = self._kind(last.text + text)
        else:
            self._found.append(self._kind(text))
