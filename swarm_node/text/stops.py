"""Strings that end an answer, wherever tokens cut them."""

from __future__ import annotations

from collections.abc import Iterable

from swarm_node.text.marks import cut_at_mark


class Stops:
    """Lets text through up to the first stop string; ``stopped`` is that string once it was met.

    Nothing is held back but the longest end of the text with which a stop string may begin.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self._strings = tuple(string for string in strings if string)
        self._held = ""
        self.stopped: str | None = None

    def push(self, text: str) -> str:
        """What of the text so far is certain to stand before any stop string."""
        if self.stopped is not None:
            return ""
        safe, self.stopped, self._held = cut_at_mark(self._held + text, self._strings)
        return safe

    def end(self) -> str:
        """What was held back, if no stop string came of it."""
        rest, self._held = self._held, ""
        return rest if self.stopped is None else ""
