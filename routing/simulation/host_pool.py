"""One pool of a server's cache as a node gives it away: reserve or refuse, a waiting line, and records now and then."""

from __future__ import annotations

import math
from bisect import bisect_right

from routing.node.line import WaitingLine


class HostPool:
    """Who holds what of one pool. Owned by one simulation; ``now`` never goes back.

    The node is the authority: ``free`` never falls below 0, whatever clients believe.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self._line: WaitingLine[int] = WaitingLine()
        self._held: dict[tuple[int, int], int] = {}
        """What each attempt of a job to open a chain has reserved here."""
        self._times = [-math.inf]
        self._told = [capacity]
        """From each of these times on, what a job that has not waited may have: what a record says."""

    def ask(self, job: int, attempt: int, need: int, now: float) -> int | None:
        """Reserve ``need`` for the job, whose ticket is used up. None if it is done, else what a newcomer may have."""
        if not self._line.may_enter(job, need, self.free):
            return self._line.free_for_newcomers(self.free)
        self.free -= need
        assert self.free >= 0, "a slot is given to one job only"
        self._held[job, attempt] = need
        self._line.leave(job)
        self._note(now)
        return None

    def give_back(self, job: int, attempt: int, now: float) -> None:
        """Nothing happens if the attempt has reserved nothing here."""
        held = self._held.pop((job, attempt), 0)
        if held:
            self.free += held
            self._line.freed()
            self._note(now)

    def join(self, job: int, since: float, need: int, now: float) -> None:
        """The job waits for ``need``."""
        self._line.join(job, since, need, now)
        self._note(now)

    def leave(self, job: int, now: float) -> None:
        self._line.leave(job)
        self._note(now)

    def offers(self, now: float) -> tuple[list[int], float | None]:
        """The jobs for which room is set aside from now on, and when the next such offer lapses."""
        if not len(self._line):
            return [], None
        told = self._line.offers(self.free, now)
        self._note(now)
        return told, self._line.next_lapse()

    def told_at(self, moment: float) -> int:
        """What a record that was made at ``moment`` says is free."""
        return self._told[bisect_right(self._times, moment) - 1]

    def _note(self, now: float) -> None:
        free = self._line.free_for_newcomers(self.free)
        if free != self._told[-1]:
            self._times.append(now)
            self._told.append(free)
