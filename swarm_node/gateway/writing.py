"""One choice while it is written: from tokens to the pieces of an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence

from swarm_node.gateway.turn import Wrote
from swarm_node.generate import Token
from swarm_node.text import AnswerParser, Content, Delta, Reasoning, Stops, TextPieces, ToolCallArguments, ToolCallBegun


class PlainText:
    """Reads an answer that is all content, as an AnswerParser does."""

    keep: frozenset[str] = frozenset()

    def push(self, text: str) -> list[Delta]:
        return [Content(text)] if text else []

    def end(self) -> list[Delta]:
        return []


class Writing:
    """The pieces of choice ``index``; ends with ``end``."""

    def __init__(
        self,
        index: int,
        pieces: TextPieces,
        stops: Stops,
        parser: AnswerParser,
        ends: Collection[int],
        *,
        tell_tokens: bool,
        parallel_calls: bool = True,
    ) -> None:
        """``ends``: tokens that end an answer and are no part of its text. ``tell_tokens``: with the pieces.

        Without ``parallel_calls`` the first call is the last thing that is told.
        """
        self._index = index
        self._pieces = pieces
        self._stops = stops
        self._parser = parser
        self._ends = frozenset(ends)
        self._untold: deque[tuple[int, Token]] | None = deque() if tell_tokens else None
        """Tokens whose text was not shown yet, each with where it begins."""
        self._came = 0
        """Characters, those that are held back included."""
        self._safe = 0
        """Characters that stops let through."""
        self._thinks = False
        self._parallel_calls = parallel_calls
        self.tokens = 0
        self.reasoning_tokens = 0
        self.called = False
        """Whether it calls a tool."""
        self._enough = False

    @property
    def stopped(self) -> str | None:
        """The stop string that has ended it."""
        return self._stops.stopped

    @property
    def over(self) -> bool:
        """Whether nothing of what is still to come belongs to it."""
        return self._enough or self.stopped is not None

    def push(self, token: Token) -> list[Wrote]:
        """What is certain with this token."""
        self.tokens += 1
        if token.id in self._ends:
            return []
        if self._untold is not None:
            self._untold.append((self._came, token))
        wrote = list(self._through(self._pieces.push(token.id)))
        self.reasoning_tokens += self._thinks
        return wrote

    def end(self) -> list[Wrote]:
        """What was held back."""
        wrote: list[Wrote] = []
        if not self.over:
            wrote += self._through(self._pieces.end())
        if not self.over:
            rest = self._stops.end()
            self._safe += len(rest)
            wrote += self._wrote(self._parser.push(rest))
        wrote += self._wrote(self._parser.end())
        if self._untold and not self.over:
            wrote.append(Wrote(self._index, Content(""), tuple(token for _, token in self._untold)))
        return wrote

    def _through(self, text: str) -> Iterator[Wrote]:
        self._came += len(text)
        safe = self._stops.push(text)
        self._safe += len(safe)
        return self._wrote(self._parser.push(safe) if safe else ())

    def _wrote(self, deltas: Sequence[Delta]) -> Iterator[Wrote]:
        for delta in deltas:
            if self._enough:
                return
            self._thinks = isinstance(delta, Reasoning)
            self.called = self.called or isinstance(delta, ToolCallBegun)
            self._enough = isinstance(delta, ToolCallArguments) and not self._parallel_calls
            yield Wrote(self._index, delta, self._told())

    def _told(self) -> tuple[Token, ...]:
        """The tokens whose text begins in what was let through so far."""
        told: list[Token] = []
        while self._untold and self._untold[0][0] < self._safe:
            told.append(self._untold.popleft()[1])
        return tuple(told)
