"""Strings that end an answer, wherever tokens cut them."""

from __future__ import annotations

from collections.abc import Iterable


class Stops:
    """Lets text through up to the first stop string; ``stopped`` is that string once it was met.

    Nothing is held back but the longest end of the text with which a stop string may begin.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self._strings = tuple(sorted({string for string in strings if string}, key=len, reverse=True))
        self._held = ""
        self.stopped: str | None = None

    def push(self, text: str) -> str:
        """What of the text so far is certain to stand before any stop string."""
        if self.stopped is not None:
            return ""
        self._held += text
        found = [(at, string) for string in self._strings if (at := self._held.find(string)) >= 0]
        if found:
            at, self.stopped = min(found, key=lambda one: one[0])
            safe, self._held = self._held[:at], ""
            return safe
        keep = beginning_at_end(self._held, self._strings)
        safe, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return safe

    def end(self) -> str:
        """What was held back, if no stop string came of it."""
        rest, self._held = self._held, ""
        return rest


def beginning_at_end(text: str, strings: Iterable[str]) -> int:
    """The length of the longest end of ``text`` that is a beginning, and no more, of one of ``strings``."""
    longest = 0
    for string in strings:
        for length in range(min(len(string) - 1, len(text)), longest, -1):
            if text.endswith(string[:length]):
                longest = length
                break
    return longest
