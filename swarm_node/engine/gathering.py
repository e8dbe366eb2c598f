"""Whether to wait a moment for decodes that could run in the same batch: a pure decision, and what it goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from swarm_node.engine.settings import (
    AWAY_LEAST_SHARE,
    AWAY_MOST,
    AWAY_WEIGHT,
    BATCH_TIMES_KEPT,
    FIXED_SHARE,
    PAUSE_MOST,
)


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
