"""Who gets a node's free cache next: sessions that wait, in the order in which they came to the swarm.

Every node keeps its own line, yet all lines agree on who is first, since a client comes to each with the time at which
it began to wait. So when a chain becomes free, all of its nodes offer their room to the same session, and no two
sessions each hold a part of what the other needs for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from routing.settings import LINE_AGE_SECONDS, OFFER_SECONDS

KeyT = TypeVar("KeyT")


@dataclass(slots=True)
class _Ticket(Generic[KeyT]):
    key: KeyT
    since: float
    number: int
    """Order of coming to this node: between two that began to wait at the same time."""
    need: int
    offered_until: float | None = None
    passed: bool = False
    """It was offered room and could not use it: it stands aside until more is freed."""

    @property
    def order(self) -> tuple[float, int]:
        return self.since, self.number


class WaitingLine(Generic[KeyT]):
    """The sessions that wait at one node; knows no clock and holds no cache itself.

    Room is counted in block-tokens; ``free`` is always what no session has reserved, offers included; ``now`` is in
    unix seconds. Whoever owns the cache calls ``offers`` whenever something has changed, tells those who are named, and
    calls it again when an offer has lapsed: at ``offered_until``, or for whoever it may be at ``next_lapse``.
    """

    def __init__(self) -> None:
        self._tickets: dict[KeyT, _Ticket[KeyT]] = {}
        self._numbers = 0

    def __len__(self) -> int:
        return len(self._tickets)

    def join(self, key: KeyT, since: float, need: int, now: float) -> int:
        """``key`` waits for ``need`` block-tokens, and says that it has done so since ``since``.

        It is believed for LINE_AGE_SECONDS at most. Returns how many are before it.
        """
        self._numbers += 1
        since = min(max(since, now - LINE_AGE_SECONDS), now)
        ticket = self._tickets[key] = _Ticket(key, since, self._numbers, need)
        return sum(other.order < ticket.order for other in self._tickets.values())

    def leave(self, key: KeyT) -> None:
        """``key`` waits no longer; nothing if it did not."""
        self._tickets.pop(key, None)

    def freed(self) -> None:
        """A session has ended: those who stood aside are asked again."""
        for ticket in self._tickets.values():
            ticket.passed = False

    def offers(self, free: int, now: float) -> list[KeyT]:
        """Those for whom room is set aside from now on, for OFFER_SECONDS; whose offer has lapsed stands aside.

        Nobody is passed over who waits: a session for which there is not enough room keeps back all behind it, and
        takes back what was set aside for them when that makes room enough. For it may have come only now and have
        waited longer elsewhere; and if each node kept to whom it saw first, two sessions would each have a part of
        what the other needs.
        """
        for ticket in self._tickets.values():
            if ticket.offered_until is not None and ticket.offered_until <= now:
                ticket.offered_until, ticket.passed = None, True
        available = free - self._offered()
        waiting = sorted(
            (ticket for ticket in self._tickets.values() if not ticket.passed), key=lambda ticket: ticket.order
        )
        told: list[KeyT] = []
        for place, ticket in enumerate(waiting):
            if ticket.offered_until is not None:
                continue
            behind = [other for other in waiting[place + 1 :] if other.offered_until is not None]
            if ticket.need > available + sum(other.need for other in behind):
                break
            while ticket.need > available:
                last = behind.pop()
                last.offered_until = None
                available += last.need
            available -= ticket.need
            ticket.offered_until = now + OFFER_SECONDS
            told.append(ticket.key)
        return told

    def may_enter(self, key: KeyT | None, need: int, free: int) -> bool:
        """Whether a session of ``need`` block-tokens may reserve them now; ``key`` is its ticket, None if it has none.

        It may if its ticket has an offer that large, or if there is room that is not set aside for others and nobody
        waits who is before it.
        """
        ticket = None if key is None else self._tickets.get(key)
        if ticket is not None and ticket.offered_until is not None and need <= ticket.need:
            return True
        before = (
            other
            for other in self._tickets.values()
            if other is not ticket and not other.passed and other.offered_until is None
        )
        if any(ticket is None or other.order < ticket.order for other in before):
            return False
        own = ticket.need if ticket is not None and ticket.offered_until is not None else 0
        return need <= free - self._offered() + own

    def free_for_newcomers(self, free: int) -> int:
        """The largest session, in block-tokens, that may enter without having waited."""
        if any(not ticket.passed and ticket.offered_until is None for ticket in self._tickets.values()):
            return 0
        return max(0, free - self._offered())

    def offered_until(self, key: KeyT) -> float | None:
        """When the offer to ``key`` lapses; None if it has none."""
        ticket = self._tickets.get(key)
        return None if ticket is None else ticket.offered_until

    def next_lapse(self) -> float | None:
        """When the next offer lapses; None if there is none."""
        return min((t.offered_until for t in self._tickets.values() if t.offered_until is not None), default=None)

    def _offered(self) -> int:
        return sum(ticket.need for ticket in self._tickets.values() if ticket.offered_until is not None)
