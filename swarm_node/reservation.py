"""A session's hold on a node's cache, and the steps it waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import trio

from routing.errors import SwarmError
from routing.span import Span
from swarm_node.cache import SequenceCache


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
    result: torch.Tensor | SwarmError | None = None

    @property
    def span(self) -> Span:
        return self.reservation.span

    @property
    def tokens(self) -> int:
        return self.hidden.shape[0]


@dataclass(eq=False, slots=True)
class Reservation:
    """Room for ``max_tokens`` tokens in the blocks of ``span``, from Engine.reserve().

    Owned by the session that reserved it and ended by release(), or by the end of the engine. Steps of one
    reservation run one after the other in the order they came.
    """

    max_tokens: int
    span: Span
    cache: SequenceCache
    _release: Callable[[Reservation], None]
    steps: deque[PendingStep] = field(default_factory=deque)
    running: bool = False
    """Its first step is in the batch that runs now."""
    released: bool = False
    decoded_at: float = float("-inf")
    """Monotonic time of its last decode."""

    @property
    def block_tokens(self) -> int:
        """What it takes of the engine's capacity."""
        return self.max_tokens * len(self.span)

    def release(self) -> None:
        """Give the room back; steps still waiting fail. Calling it again does nothing.

        The room is free at once, or after the batch that runs now if one of its steps is in it; see ``freed``.
        """
        self._release(self)

    async def freed(self) -> None:
        """Wait until the room is free, which takes no longer than the batch that runs now. After release() only."""
        try:
            running = self.steps[0]
        except IndexError:  # the engine's thread has just finished it
            return
        await running.finished.wait()
