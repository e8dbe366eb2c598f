"""A session's hold on a node's cache, and its steps: each goes through one batch or several to what comes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

import torch
import trio

from routing.errors import ProtocolError, SwarmError
from routing.span import Span
from swarm_node.compute import SequenceCache
from swarm_node.engine.gathering import Absence
from swarm_node.wire import Beginning

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


@dataclass(eq=False, slots=True)
class Reservation:
    """Room for ``max_tokens`` tokens in the blocks of ``span``, from Engine.reserve().

    Owned by the session that reserved it and ended by release(), or by the end of the engine. Steps of one
    reservation run one after the other in the order they came.
    """

    max_tokens: int
    span: Span
    cache: SequenceCache
    block_tokens: int
    """What it takes of the engine's capacity."""
    _release: Callable[[Reservation, bytes], None]
    beginning: Beginning = field(default_factory=Beginning)
    """What its client said that it will send; without keys once that is kept."""
    held_tokens: int = 0
    """Tokens at its beginning that were here when it came."""
    charged: int = 0
    """Block-tokens of the engine's capacity that it holds now."""
    steps: deque[HostedStep] = field(default_factory=deque)
    """Without an outcome yet; only the first may be in a batch."""
    released: bool = False
    last_keys: bytes = b""
    """Once it is released: the keys of what is to be kept of it."""
    absence: Absence = field(default_factory=Absence)
    """By the monotonic clock."""

    def refusal(self, tokens: int, position: int) -> ProtocolError | None:
        """Why a step could never fit."""
        if position >= 0 and position + tokens <= self.max_tokens:
            return None
        return ProtocolError(f"tokens {position}:{position + tokens} are outside of the reserved {self.max_tokens}")

    def release(self, keys: bytes = b"") -> None:
        """Give the room back; steps still waiting fail. Calling it again does nothing.

        The room is free at once, or after the batch that runs now if one of its steps is in it; see ``freed``.
        ``keys`` name the beginning that the engine may keep for later sessions.
        """
        self._release(self, keys)

    async def freed(self) -> None:
        """Wait until the room is free, which takes no longer than the batch that runs now. After release() only."""
        try:
            running = self.steps[0]
        except IndexError:  # the engine's thread has just finished it
            return
        await running.finished.wait()


def wake(steps: Iterable[HostedStep]) -> None:
    """On the trio thread: tell those who wait for ``steps`` that these are finished."""
    for step in steps:
        step.finished.set()
