"""The steps that wait in an engine, in order: schedule.py chooses among them, gathering.py when to wait for more."""

from __future__ import annotations

import time
from collections.abc import Sequence

from routing.errors import ProtocolError, SwarmError
from swarm_node.engine.gathering import BatchTimes, Pause, pause
from swarm_node.engine.reservation import HostedStep, Outcome, Reservation, StepState
from swarm_node.engine.schedule import BatchLimits, next_batch
from swarm_node.engine.settings import DECODES_RECENT_SECONDS
from swarm_node.wire import is_decode

Chosen = list[tuple[HostedStep, int]]
"""Steps of the next batch, each with how many of its tokens are to run."""


class StepQueue:
    """Those of one engine, whose lock guards it, and what it has learned of how they come and how long batches take.

    A session's steps wait in its reservation; here is the order between sessions.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self.reservations: set[Reservation] = set()
        """All that are not freed yet; the engine adds each, and remove() ends it."""
        self._limits = limits
        self._turns = 0
        self._away: set[Reservation] = set()
        """Those whose next decode may come any moment: not every one that is open, for each batch looks at all."""
        self._times = BatchTimes()
        """Of a block."""

    def put(self, step: HostedStep) -> None:
        """``step`` waits from now on, behind the others of its session."""
        reservation = step.reservation
        self._turns += 1
        step.arrival = step.turn = self._turns
        if is_decode(step.tokens) and not reservation.steps:
            reservation.absence = reservation.absence.back(time.monotonic())
        self._away.discard(reservation)
        reservation.steps.append(step)

    def ready(self) -> list[HostedStep]:
        """The first step of each session. Only while no batch runs."""
        return [reservation.steps[0] for reservation in self.reservations if reservation.steps]

    def fail_misplaced(self, ready: Sequence[HostedStep]) -> list[HostedStep]:
        """Finish those of ``ready`` that their session's cache cannot take where they are, and return them."""
        wrong = [step for step in ready if not step.done and not step.reservation.cache.reaches(step.position)]
        for step in wrong:
            step.reservation.steps.popleft()
            length = step.reservation.cache.length
            if step.position > length:
                step.finish(ProtocolError(f"a step at position {step.position} came after {length} tokens"))
            else:
                step.finish(SwarmError(f"the state after {step.position} of {length} tokens is gone; begin again"))
        return wrong

    def choose(self, ready: Sequence[HostedStep]) -> Chosen:
        """Those that run together next; none if none are ready."""
        return next_batch(ready, self._limits, decodes_expected=self._decodes_expected())

    def pause(self, chosen: Chosen, now: float, waited: float) -> Pause | None:
        """Whether to wait for more decodes before ``chosen`` run, if they are nothing else."""
        span = chosen[0][0].span
        if not all(is_decode(step.tokens) for step, _tokens in chosen):
            return None
        others = (held.absence.due(now) for held in self._away if held.span == span)
        due = [seconds for seconds in others if seconds is not None]
        return pause(len(chosen), due, waited, self._times.through(len(span)))

    def start(self, chosen: Chosen) -> list[HostedStep]:
        """They are the batch that runs now."""
        for step, tokens in chosen:
            step.start(tokens)
        return [step for step, _tokens in chosen]

    def ran(self, batch: Sequence[HostedStep], outputs: Sequence[Outcome], seconds: float) -> None:
        """That batch is over. Steps that are through leave the queue."""
        now = time.monotonic()
        for step, output in zip(batch, outputs, strict=True):
            reservation = step.reservation
            self._turns += 1
            step.turn = self._turns
            step.ran(output)
            if step.result is not None:
                reservation.steps.popleft()
            if is_decode(step.tokens):
                reservation.absence = reservation.absence.decoded(now)
                if not reservation.steps:
                    self._away.add(reservation)
        if all(is_decode(step.tokens) for step in batch):
            self._times = self._times.after(len(batch), seconds / len(batch[0].span))

    def drop(self, step: HostedStep) -> bool:
        """Nobody waits for ``step`` any more. Whether it left the queue; if it runs, it leaves at the batch's end."""
        steps = step.reservation.steps
        if step.state is StepState.RUNNING:
            step.state = StepState.DROPPED
        elif step.state is StepState.WAITING and step in steps:
            steps.remove(step)
            return True
        return False

    def drop_waiting(self, reservation: Reservation) -> list[HostedStep]:
        """Take out the session's steps that wait, and drop the one that runs."""
        waiting = [step for step in reservation.steps if step.state is StepState.WAITING]
        for step in waiting:
            reservation.steps.remove(step)
        for step in reservation.steps:
            step.state = StepState.DROPPED
        return waiting

    def remove(self, reservation: Reservation) -> None:
        """The session has ended, and none of its steps is left."""
        self.reservations.remove(reservation)
        self._away.discard(reservation)

    def _decodes_expected(self) -> bool:
        """Whether sessions decoded a moment ago: they are likely on their way back."""
        since = time.monotonic() - DECODES_RECENT_SECONDS
        self._away = {held for held in self._away if held.absence.since > since}
        return bool(self._away)
