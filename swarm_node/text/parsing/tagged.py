"""Answers whose calls and reasoning stand between marks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto

from swarm_node.text.deltas import Delta
from swarm_node.text.marks import cut_at_mark
from swarm_node.text.parsing.calls import Call, Tools
from swarm_node.text.parsing.parts import Parts


@dataclass(frozen=True, slots=True)
class Marks:
    """How a model writes calls."""

    opens: str
    closes: str | None
    """None: calls go on to the end of the answer."""
    read: Callable[[str, Tools], list[Call] | None]
    """What stands between the two; None if it is no call."""
    around: tuple[str, ...] = ()
    """Further marks, before the first call and after the last."""
    inside: tuple[str, ...] = ()
    """Further marks, within a call."""
    bare: tuple[str, ...] = ()
    """With these an answer may begin, space aside, that is a call without marks."""
    read_bare: Callable[[str, Tools], list[Call] | None] | None = None

    def all(self) -> set[str]:
        """Every mark of this way."""
        return {self.opens, *self.around, *self.inside, *([self.closes] if self.closes else [])}


@dataclass(frozen=True, slots=True)
class Thought:
    """What stands around reasoning."""

    opens: str
    closes: str
    begun: bool = False
    """Whether the prompt has begun it."""


class _State(Enum):
    BEGINNING = auto()
    """Nothing but space yet; reasoning or a bare call may follow."""
    CONTENT = auto()
    REASONING = auto()
    CALL = auto()
    BARE_CALL = auto()


class TaggedParser:
    """Parser of one answer: BEGINNING -> REASONING -> BEGINNING -> CONTENT <-> CALL."""

    def __init__(
        self,
        calls: Marks | None,
        thought: Thought | None,
        *,
        tools: Tools,
        hidden: Collection[str],
    ) -> None:
        """``hidden``: special tokens among the marks."""
        self._calls = calls
        self._thought = thought
        self._tools = tools
        self.keep = frozenset(hidden)
        self._parts = Parts(hidden)
        self._buffer = ""
        self._body: list[str] = []
        self._state = _State.REASONING if thought is not None and thought.begun else _State.BEGINNING

    def push(self, text: str) -> list[Delta]:
        """The parts that are certain with ``text``."""
        self._buffer += text
        while self._step():
            pass
        return self._parts.take()

    def end(self) -> list[Delta]:
        """The rest of the answer."""
        if self._state is _State.BEGINNING:
            self._state = _State.CONTENT
        self._text(self._buffer)
        self._buffer = ""
        if self._state in (_State.CALL, _State.BARE_CALL):
            self._close_call("")
        return self._parts.end()

    def _step(self) -> bool:
        """One mark, or as much as there is without one. Whether there may be more."""
        if self._state is _State.BEGINNING:
            return self._begin()
        text, mark, self._buffer = cut_at_mark(self._buffer, self._watched())
        self._text(text)
        if mark is not None:
            self._meet(mark)
        return mark is not None

    def _begin(self) -> bool:
        begun = self._buffer.lstrip()
        if self._thought is not None:
            if begun.startswith(self._thought.opens):
                self._buffer = begun[len(self._thought.opens) :]
                self._state = _State.REASONING
                return True
            if self._thought.opens.startswith(begun):
                return False
        if self._calls is not None and self._calls.bare:
            dense = "".join(begun.split())
            if any(dense.startswith(one) for one in self._calls.bare):
                self._state = _State.BARE_CALL
                return True
            if any(one.startswith(dense) for one in self._calls.bare):
                return False
        self._state = _State.CONTENT
        return True

    def _watched(self) -> tuple[str, ...]:
        if self._state is _State.REASONING:
            return (self._thought.closes,) if self._thought is not None else ()
        if self._calls is None or self._state is _State.BARE_CALL:
            return ()
        if self._state is _State.CALL:
            return (self._calls.closes,) if self._calls.closes is not None else ()
        return (self._calls.opens, *self._calls.around)

    def _meet(self, mark: str) -> None:
        if self._state is _State.REASONING:
            self._thought, self._state = None, _State.BEGINNING
        elif self._state is _State.CALL:
            self._close_call(mark)
        elif self._calls is not None and mark == self._calls.opens:
            self._state = _State.CALL

    def _text(self, text: str) -> None:
        if not text:
            return
        if self._state is _State.REASONING:
            self._parts.reasoning(text)
        elif self._state is _State.CONTENT:
            self._parts.content(text)
        else:
            self._body.append(text)

    def _close_call(self, mark: str) -> None:
        assert self._calls is not None
        bare = self._state is _State.BARE_CALL
        body, self._body, self._state = "".join(self._body), [], _State.CONTENT
        read = self._calls.read_bare if bare else self._calls.read
        calls = read(body, self._tools) if read is not None else None
        if calls is not None:
            self._parts.calls(calls)
        else:  # no call after all: who asked may see what the model wrote
            self._parts.content(body if bare else self._calls.opens + body + mark)
