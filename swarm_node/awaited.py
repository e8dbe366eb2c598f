"""A step on its way round a chain: the frames it is cut into, and what has come back of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import trio

from routing.errors import ProtocolError
from swarm_node.settings import PREFILL_STEP_TOKENS


@dataclass(slots=True)
class Awaited:
    """The step whose results the client is waiting for: frames ``first`` to ``last``, ``keep`` tokens in all."""

    first: int
    last: int
    keep: int
    results: list[torch.Tensor] = field(default_factory=list)
    arrived: trio.Event = field(default_factory=trio.Event)

    @property
    def missing(self) -> int:
        return self.keep - sum(len(part) for part in self.results)

    @property
    def complete(self) -> bool:
        return self.missing == 0

    def take(self, number: int, hidden: torch.Tensor) -> None:
        """Some of the results, unless they answer a step that was given up."""
        if not self.first <= number <= self.last:
            return
        self.results.append(hidden)
        if self.missing < 0:
            raise ProtocolError("returned more tokens than were asked for")
        if self.complete:
            self.arrived.set()

    def joined(self) -> torch.Tensor:
        """All of the results, [keep, hidden]."""
        return torch.cat(self.results) if len(self.results) != 1 else self.results[0]


def frames_of(tokens: int, keep: int) -> list[tuple[int, int]]:
    """Cut a step into frames of (tokens, how many of them to keep)."""
    sizes = [min(PREFILL_STEP_TOKENS, tokens - start) for start in range(0, tokens, PREFILL_STEP_TOKENS)]
    frames: list[tuple[int, int]] = []
    for size in reversed(sizes):
        kept = min(size, keep)
        keep -= kept
        frames.append((size, kept))
    return frames[::-1]
