"""A session's hold on a node's cache, and the steps it waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
import trio

from routing.errors import ProtocolError, SwarmError
from routing.span import Span
from swarm_node.compute import SequenceCache
from swarm_node.engine.schedule import Absence
from swarm_node.wire import Beginning

Outcome = torch.Tensor | SwarmError
"""Of a step: hidden states [tokens, hidden size] on the CPU, or why there are none."""


@dataclass(eq=False, slots=True)
class PendingStep:
    """One step from its arrival until its result is handed over. The engine's lock guards all but the last two."""

    reservation: Reservation
    hidden: torch.Tensor
    """[tokens, hidden size] on the CPU."""
    position: int
    """Where its first token goes."""
    arrival: int
    turn: int
    done: int = 0
    outputs: list[torch.Tensor] = field(default_factory=list)
    dropped: bool = False
    """Nobody waits for it any more."""
    finished: trio.Event = field(default_factory=trio.Event)
    result: Outcome | None = None

    @property
    def span(self) -> Span:
        return self.reservation.span

    @property
    def tokens(self) -> int:
        return self.hidden.shape[0]

    @property
    def outcome(self) -> Outcome:
        assert self.result is not None, "used only once the step is finished"
        return self.result

    def part(self, tokens: int) -> torch.Tensor:
        """The next ``tokens`` of it."""
        return self.hidden if tokens == self.tokens else self.hidden[self.done : self.done + tokens]

    def took(self, tokens: int, output: Outcome) -> Outcome | None:
        """Note what came of its next ``tokens``; returns the step's outcome, None if more of its tokens must run."""
        if self.reservation.released or self.dropped:
            return SwarmError("the session has ended")
        if isinstance(output, SwarmError):
            return output
        self.outputs.append(output)
        self.done += tokens
        if self.done < self.tokens:
            return None
        return self.outputs[0] if len(self.outputs) == 1 else torch.cat(self.outputs)


@dataclass(eq=False, slots=True)
class Reservation:
    """Room for ``max_tokens`` tokens in the blocks of ``span``, from Engine.reserve().

    Owned by the session that reserved it and ended by release(), or by the end of the engine. Steps of one
    reservation run one after the other in the order they came.
    """

    max_tokens: int
    span: Span
    cache: SequenceCache
    _release: Callable[[Reservation, bytes], None]
    beginning: Beginning = field(default_factory=Beginning)
    """What its client said that it will send; without keys once that is kept."""
    held_tokens: int = 0
    """Tokens at its beginning that were here when it came."""
    charged: int = 0
    """Block-tokens of the engine's capacity that it holds now."""
    steps: deque[PendingStep] = field(default_factory=deque)
    running: bool = False
    """Its first step is in the batch that runs now."""
    released: bool = False
    last_keys: bytes = b""
    """Once it is released: the keys of what is to be kept of it."""
    absence: Absence = field(default_factory=Absence)
    """By the monotonic clock."""

    @property
    def block_tokens(self) -> int:
        """What it takes of the engine's capacity."""
        return self.max_tokens * len(self.span)

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


def deliver(outcomes: Iterable[tuple[PendingStep, Outcome]]) -> None:
    """On the trio thread: wake those who wait. A step may be settled twice when the engine ends; the first counts."""
    for step, result in outcomes:
        if step.result is None:
            step.result = result
            step.finished.set()
