"""Which of the waiting steps run together next: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from routing.span import Span
from swarm_node.engine.settings import BATCH_ROWS_MAX, PREFILL_ALONE, PREFILL_BESIDE_DECODES
from swarm_node.wire import is_decode


class WaitingStep(Protocol):
    """A step as the scheduler sees it."""

    @property
    def span(self) -> Span:
        """The blocks it goes through."""

    @property
    def tokens(self) -> int:
        """All tokens of the step."""

    @property
    def done(self) -> int:
        """Those that earlier batches ran."""

    @property
    def arrival(self) -> int:
        """Grows with each step that comes in."""

    @property
    def turn(self) -> int:
        """Its arrival, or if it ran in part, a later number: when it last got its share."""


Step = TypeVar("Step", bound=WaitingStep)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of one batch."""

    decode_rows: int
    prefill_beside_decodes: int
    """Prompt tokens when decodes wait or are about to."""
    prefill_alone: int
    """Prompt tokens otherwise."""

    @classmethod
    def of(cls, device_type: str) -> BatchLimits:
        """What pays on a device: ``cpu`` or ``cuda``."""
        kind = device_type if device_type in PREFILL_ALONE else "cuda"
        return cls(BATCH_ROWS_MAX, PREFILL_BESIDE_DECODES[kind], PREFILL_ALONE[kind])


def next_batch(waiting: Sequence[Step], limits: BatchLimits, *, decodes_expected: bool) -> list[tuple[Step, int]]:
    """Steps of the next batch, each with how many of its tokens run; all go through the same span.

    The span is that of the step whose turn is longest ago, so no span starves. Among its steps decodes go first and
    whole, in order of arrival; what is left of the budget goes to prompts, in order of arrival.
    """
    if not waiting:
        return []
    span = min(waiting, key=lambda step: step.turn).span
    candidates = sorted((step for step in waiting if step.span == span), key=lambda step: step.arrival)
    batch = [(step, step.tokens - step.done) for step in candidates if is_decode(step.tokens)][: limits.decode_rows]
    budget = limits.prefill_beside_decodes if batch or decodes_expected else limits.prefill_alone
    for step in candidates:
        if budget == 0:
            break
        if not is_decode(step.tokens):
            taken = min(budget, step.tokens - step.done)
            budget -= taken
            batch.append((step, taken))
    return batch
