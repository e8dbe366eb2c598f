"""Which of the waiting steps run together next, and whether to wait a moment for others: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from routing.span import Span
from swarm_node.engine.settings import (
    AWAY_LEAST_SHARE,
    AWAY_MOST,
    AWAY_WEIGHT,
    BATCH_ROWS_MAX,
    BATCH_TIMES_KEPT,
    FIXED_SHARE,
    PAUSE_MOST,
    PREFILL_ALONE,
    PREFILL_BESIDE_DECODES,
)
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


@dataclass(frozen=True, slots=True)
class Absence:
    """How long a session is away between two decodes: on its way to its client and back, at other hops."""

    since: float = float("-inf")
    """When its last decode was done here, on the clock of whoever asks."""
    mean_seconds: float | None = None
    """How long it mostly takes; None before the second decode."""

    def decoded(self, now: float) -> Absence:
        """A decode of it is done."""
        return Absence(now, self.mean_seconds)

    def back(self, now: float) -> Absence:
        """Its next decode has come."""
        if self.since == float("-inf"):
            return self
        away = now - self.since
        mean = away if self.mean_seconds is None else self.mean_seconds
        return Absence(self.since, mean + AWAY_WEIGHT * (away - mean))

    def due(self, now: float) -> float | None:
        """In how many seconds it is likely to be back; None for one that is overdue, or has no history."""
        mean, away = self.mean_seconds, now - self.since
        if mean is None or away > AWAY_MOST * mean:
            return None
        return max(mean - away, AWAY_LEAST_SHARE * mean)


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """What batches of decodes take by how many sessions are in them: a line through the latest, as sums that fade."""

    count: float = 0.0
    rows: float = 0.0
    seconds: float = 0.0
    rows_rows: float = 0.0
    rows_seconds: float = 0.0

    def after(self, rows: int, seconds: float) -> BatchTimes:
        """With one batch more."""
        return BatchTimes(
            BATCH_TIMES_KEPT * self.count + 1,
            BATCH_TIMES_KEPT * self.rows + rows,
            BATCH_TIMES_KEPT * self.seconds + seconds,
            BATCH_TIMES_KEPT * self.rows_rows + rows * rows,
            BATCH_TIMES_KEPT * self.rows_seconds + rows * seconds,
        )

    def through(self, blocks: int) -> BatchTimes:
        """The same for so many times as many blocks."""
        return replace(self, seconds=blocks * self.seconds, rows_seconds=blocks * self.rows_seconds)

    @property
    def fixed(self) -> float:
        """Seconds that a batch takes, however few are in it: for reading the weights, mostly."""
        if not self.count:
            return 0.0
        rows, seconds = self.rows / self.count, self.seconds / self.count
        spread = self.rows_rows / self.count - rows * rows
        if spread < 0.25:  # all were nearly of one size, which tells nothing
            return FIXED_SHARE * seconds
        slope = (self.rows_seconds / self.count - rows * seconds) / spread
        return min(max(seconds - slope * rows, 0.0), seconds)

    def of(self, rows: int) -> float:
        """Seconds for so many."""
        if not self.count:
            return 0.0
        return self.fixed + rows * (self.seconds / self.count - self.fixed) / (self.rows / self.count)


@dataclass(frozen=True, slots=True)
class Pause:
    """To wait so many seconds, or until so many decodes more have come."""

    seconds: float
    decodes: int


def pause(waiting: int, due: Sequence[float], waited: float, times: BatchTimes) -> Pause | None:
    """Whether to wait before a batch of ``waiting`` decodes; to be asked again at the end of a pause.

    ``due``: in how many seconds each other session is likely to be back. ``waited``: for how long already. To wait for
    some of them makes those that are here wait, and saves those the time until the batch that would else run is done;
    twice, since those that run together mostly come together the next time. In all it must save more. It must not
    take much longer than the fixed part of a batch either, which is what a batch of their own would cost the others.
    """
    soonest = sorted(due)
    for count in range(len(soonest), 0, -1):
        wait = soonest[count - 1]
        if (waiting + count) * wait < 2 * count * times.of(waiting) and waited + wait < PAUSE_MOST * times.fixed:
            return Pause(wait, count)
    return None
