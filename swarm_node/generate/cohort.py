"""Rows whose chains go the same way, decoded together: each may join and leave between two steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swarm_node.generate.model import SwarmModel
from swarm_node.generate.row import Row
from swarm_node.generate.rows import Outcome, failed, step_rows


class Cohort:
    """A thread's work for as long as it has rows. Owned by the batch that runs it.

    ``deliver`` is called in that thread with what each step came to; ``more`` gives the rows that have joined since it
    was last asked, and None once it was told that the cohort has none left and there are no others.
    """

    def __init__(
        self,
        model: SwarmModel,
        more: Callable[[bool], Sequence[Row] | None],
        deliver: Callable[[Sequence[Outcome]], None],
    ) -> None:
        self._model = model
        self._more = more
        self._deliver = deliver

    def run(self) -> None:
        """Step after step, until there is no row left. Never raises."""
        rows: list[Row] = []
        while (joined := self._more(not rows)) is not None:
            rows += joined
            rows = self._step([row for row in rows if not row.left])

    def _step(self, rows: list[Row]) -> list[Row]:
        """Returns the rows that go on together."""
        if not rows:
            return rows
        try:
            self._guess(rows)
            outcomes = step_rows(self._model, rows, alone=False)
        except Exception as error:  # noqa: BLE001 - told to who asked
            outcomes = failed(rows, error)
        self._deliver(outcomes)
        return [outcome.row for outcome in outcomes if outcome.goes_on]

    def _guess(self, rows: list[Row]) -> None:
        for row in rows:
            row.guess(len(rows))
        guessed = sum(row.guessed for row in rows)
        for row in rows:
            row.guesses_in_step(guessed)
