"""What an engine has done since it began, for whoever watches the node."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from routing.errors import SwarmError
from swarm_node.engine.reservation import HostedStep, Outcome
from swarm_node.engine.settings import TALLIED_ROWS, TALLIED_SECONDS
from swarm_node.wire import is_decode


@dataclass(slots=True)
class Spread:
    """How often a value lay between two bounds."""

    bounds: tuple[float, ...]
    """Ascending; a value belongs to the first that is not smaller."""
    counts: list[int] = field(init=False)
    """One for each bound, and one for what lies beyond the last."""
    sum: float = 0.0
    """Of all values."""

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


@dataclass(slots=True)
class WorkDone:
    """Of one kind: decodes, or prompts."""

    steps: int = 0
    """That are through, whatever came of them."""
    failed: int = 0
    """Steps on which the blocks failed."""
    tokens: int = 0
    """Tokens that went through this node's blocks, those of dropped steps too."""
    seconds: Spread = field(default_factory=lambda: Spread(TALLIED_SECONDS))
    """Time of each batch: of decodes alone, or with a part of a prompt."""


@dataclass(slots=True)
class Tally:
    """One node's, over all engines that it has had.

    The engine's thread writes it, once for each batch; whoever reads it sees single numbers that only grow.
    """

    decode: WorkDone = field(default_factory=WorkDone)
    prefill: WorkDone = field(default_factory=WorkDone)
    rows: Spread = field(default_factory=lambda: Spread(TALLIED_ROWS))
    """Steps in each batch."""

    def ran(self, batch: Sequence[HostedStep], outputs: Sequence[Outcome], seconds: float) -> None:
        """A batch took so long, and this is what came of its steps, which know already."""
        decodes_only = True
        for step, output in zip(batch, outputs, strict=True):
            decode = is_decode(step.tokens)
            decodes_only &= decode
            done = self.decode if decode else self.prefill
            done.tokens += step.taken
            done.steps += step.result is not None
            done.failed += isinstance(output, SwarmError)
        self.rows.add(len(batch))
        (self.decode if decodes_only else self.prefill).seconds.add(seconds)
