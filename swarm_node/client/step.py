"""One step of a session: its hidden states, the numbers of the frames that carry them, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

import trio

from routing.errors import ProtocolError
from swarm_node.client.settings import PREFILL_STEP_TOKENS

if TYPE_CHECKING:
    import torch


class StepState(Enum):
    """NEW → SENT → DONE or LOST; a chain that takes a session over sends what was LOST again."""

    NEW = auto()
    SENT = auto()
    DONE = auto()
    """All that was wanted has come back."""
    LOST = auto()
    """Its chain has ended before that. What a frame on another chain still brings makes it DONE all the same."""


@dataclass(slots=True, eq=False)
class SessionStep:
    """What one session wants computed. Made by whoever has the hidden states, and carried through session and chain."""

    hidden: torch.Tensor
    """[tokens, hidden]. The session that takes the step in puts all that its chain lacks in its place."""
    position: int
    """Of the first of these tokens in the sequence."""
    keep: int
    """The results of so many tokens at the end are wanted, at least 1."""
    state: StepState = field(default=StepState.NEW, init=False)
    first: int = field(default=0, init=False)
    last: int = field(default=0, init=False)
    """Numbers of its first frame and its last."""
    over: trio.Event = field(init=False)
    """Set once it has been SENT and is so no more."""
    _results: list[torch.Tensor] = field(init=False)
    _missing: int = field(init=False)

    def frames(self) -> list[tuple[int, int]]:
        """Of each frame that it takes, the tokens and how many of them to keep."""
        tokens, size = len(self.hidden), PREFILL_STEP_TOKENS
        if tokens <= size:
            return [(tokens, self.keep)]
        unwanted = tokens - self.keep
        ends = [min(start + size, tokens) for start in range(0, tokens, size)]
        return [(end - start, max(0, end - max(start, unwanted))) for start, end in zip([0, *ends], ends, strict=False)]

    def send(self, first: int, frames: int) -> None:
        """It leaves in so many frames, the first of this number; for a second time if it was LOST."""
        self.state = StepState.SENT
        self.first, self.last = first, first + frames - 1
        self.over = trio.Event()
        self._results = []
        self._missing = self.keep

    def take(self, number: int, hidden: torch.Tensor) -> None:
        """Some of the results, unless they answer a step that was given up. Raises ProtocolError for too many."""
        if not self.first <= number <= self.last:
            return
        if len(hidden) > self._missing:
            raise ProtocolError("returned more tokens than were asked for")
        self._results.append(hidden)
        self._missing -= len(hidden)
        if not self._missing:
            self.state = StepState.DONE
            self.over.set()

    def lose(self) -> None:
        """Nothing comes back any more."""
        if self.state is StepState.SENT:
            self.state = StepState.LOST
            self.over.set()

    def output(self) -> torch.Tensor:
        """All of the results of a step that is DONE, [keep, hidden]."""
        import torch

        return torch.cat(self._results) if len(self._results) != 1 else self._results[0]
