"""A session's hold on a node's cache, and the steps it waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from routing.errors import ProtocolError
from routing.span import Span
from swarm_node.compute import SequenceCache
from swarm_node.engine.gathering import Absence
from swarm_node.engine.step import HostedStep
from swarm_node.wire import Beginning


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
    steps: deque[HostedStep] = field(default_factory=deque)
    """Without an outcome yet; only the first may be in a batch."""
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
