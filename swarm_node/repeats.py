"""Where the end of a text occurred in it before, and how it went on there."""

from __future__ import annotations

from collections.abc import Iterable

from swarm_node.settings import LONGEST_INDEXED, LONGEST_MATCH


class Repeats:
    """A sequence of tokens that grows, with the latest end of every short run of them."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._ends: dict[tuple[int, ...], int] = {}
        self._before = 0
        """End of the latest earlier occurrence of the longest indexed run at the end; 0 if there is none."""

    def __len__(self) -> int:
        return len(self._tokens)

    def extend(self, tokens: Iterable[int]) -> None:
        """``tokens`` come after those known."""
        for token in tokens:
            self._tokens.append(token)
            end = len(self._tokens)
            self._before = 0
            for size in range(1, min(LONGEST_INDEXED, end) + 1):
                run = tuple(self._tokens[end - size :])
                self._before = self._ends.get(run, self._before)
                self._ends[run] = end

    def match(self) -> int:
        """How many tokens at the end, up to LONGEST_MATCH, are those before the place that ``guess`` goes on from."""
        tokens, here, there, length = self._tokens, len(self._tokens), self._before, 0
        while length < min(LONGEST_MATCH, there) and tokens[here - 1 - length] == tokens[there - 1 - length]:
            length += 1
        return length

    def guess(self, count: int) -> list[int]:
        """The next ``count`` tokens if the text goes on as it did there; none if its last token is new."""
        if not self._before:
            return []
        period = len(self._tokens) - self._before
        return [self._tokens[self._before + index % period] for index in range(count)]
