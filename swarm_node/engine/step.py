"""A session's step on this node, from the frame that brings it through one batch or several to what comes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

import torch
import trio

from routing.errors import SwarmError
from routing.span import Span

if TYPE_CHECKING:
    from swarm_node.engine.reservation import Reservation

Outcome = torch.Tensor | SwarmError
"""Of a step: hidden states [tokens, hidden size] on the CPU, or why there are none."""


class StepState(Enum):
    """Where a step stands while it has no outcome."""

    WAITING = auto()
    """For its turn: the first time, or for the rest of its tokens."""
    RUNNING = auto()
    """In the batch that runs now."""
    DROPPED = auto()
    """In that batch too, but nobody waits for it any more: it ends with the batch."""


@dataclass(eq=False, slots=True)
class HostedStep:
    """A step for Engine.run(), which gives it back with its outcome. Whoever makes it hands it over once.

    The engine's lock guards everything that changes, but for ``finished``.
    """

    reservation: Reservation
    hidden: torch.Tensor
    """[tokens, hidden size] on the CPU."""
    position: int
    """Where its first token goes."""
    arrival: int = 0
    turn: int = 0
    """Both as in WaitingStep; the queue sets them."""
    done: int = 0
    """Tokens that earlier batches ran."""
    taken: int = 0
    """Tokens, after those, that run in the present batch."""
    state: StepState = StepState.WAITING
    outputs: list[torch.Tensor] = field(default_factory=list)
    """Of the batches so far."""
    result: Outcome | None = None
    finished: trio.Event = field(default_factory=trio.Event)

    @property
    def span(self) -> Span:
        return self.reservation.span

    @property
    def tokens(self) -> int:
        return self.hidden.shape[0]

    @property
    def end(self) -> int:
        """Length of the session's sequence after it."""
        return self.position + self.tokens

    @property
    def outcome(self) -> Outcome:
        """What Engine.run() made of it."""
        assert self.result is not None, "used only once the step is finished"
        return self.result

    @property
    def output(self) -> torch.Tensor:
        """The outcome of a step that did not fail."""
        assert isinstance(self.result, torch.Tensor), "used only of steps that came out"
        return self.result

    def part(self) -> torch.Tensor:
        """The tokens that run in the present batch."""
        return self.hidden if self.taken == self.tokens else self.hidden[self.done : self.done + self.taken]

    def start(self, tokens: int) -> None:
        """The next ``tokens`` of it are in the batch that runs now."""
        self.taken = tokens
        self.state = StepState.RUNNING

    def ran(self, output: Outcome) -> None:
        """That batch is over, and this is what came of them; the step waits again if there are more."""
        if self.state is StepState.DROPPED:
            self.finish(SwarmError("the session has ended"))
        elif isinstance(output, SwarmError):
            self.finish(output)
        else:
            self.outputs.append(output)
            self.done += self.taken
            if self.done == self.tokens:
                self.finish(self.outputs[0] if len(self.outputs) == 1 else torch.cat(self.outputs))
        self.state = StepState.WAITING

    def finish(self, outcome: Outcome) -> None:
        """Nothing more of it runs. When the engine ends a step may finish twice; the first outcome counts."""
        if self.result is None:
            self.result = outcome


def wake(steps: Iterable[HostedStep]) -> None:
    """On the trio thread: tell those who wait for ``steps`` that these are finished."""
    for step in steps:
        step.finished.set()
