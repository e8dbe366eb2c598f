"""Clients with views of some age, the servers' pools, and the messages between them, as one dispatcher."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from routing.client.ledger import Ledger
from routing.errors import Overloaded
from routing.simulation.client_view import RECORD_SECONDS, ClientView, Records
from routing.simulation.habits import Habits
from routing.simulation.host_pool import HostPool
from routing.simulation.links import Path, RouteBook
from routing.simulation.petals import back_off_seconds
from routing.simulation.pools import Pools
from routing.simulation.simulator import Start, Wake

MAX_WAITING = 3_000
"""Jobs that may wait at once: where more do, they only grow in number."""


@dataclass(slots=True)
class _Search:
    """One job on its way to a chain."""

    client: ClientView
    since: float
    attempt: int = 0
    path: Path = ()
    unanswered: int = 0
    """Servers that have not yet answered the attempt that is under way; 0 if none is."""
    failures: int = 0
    """Attempts that were refused since it last began to look for a chain."""
    retries: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    """Pools that refused this job, and what they had free."""
    in_line: bool = False
    joining: int = 0
    """Pools that have not yet confirmed its ticket."""
    room: set[int] = field(default_factory=set)
    """Pools that have offered room to it and not refused it since."""


class Clients:
    """All clients and all servers of one simulation, and the messages between them; owned by simulate()."""

    def __init__(
        self,
        pools: Pools,
        one_way: Sequence[float],
        habits: Habits,
        routes: RouteBook,
        *,
        periods: Sequence[float],
        announce_seconds: float,
        client_of: Sequence[int],
        rng: np.random.Generator,
    ) -> None:
        """``one_way`` is by server, ``periods`` by client (how often it reads the records), ``client_of`` by job."""
        self._pools = pools
        self._habits = habits
        self._routes = routes
        self._away = [one_way[server] for server in pools.server]
        self._hosts = [HostPool(capacity) for capacity in pools.capacity]
        self._alarms: list[float | None] = [None] * len(self._hosts)
        """When each pool is to look at its lapsed offers."""
        self._tickets = pools.most_needed()
        records = Records(self._hosts, pools.server, announce_seconds, rng)
        self._clients = [
            ClientView(records, period, rng.uniform(0, period), Ledger(RECORD_SECONDS) if habits.ledger else None)
            for period in periods
        ]
        self._client_of = client_of
        self._random = random.Random(int(rng.integers(2**62)))
        self._searches: dict[int, _Search] = {}
        self._agenda: list[tuple[float, int, Callable[..., None], int, tuple[int, ...]]] = []
        """(when, number, what, job, its other arguments) of all messages under way."""
        self._messages = 0
        self._next_wake = math.inf
        self._decisions: list[Start | Wake] = []
        self.counts: Counter[str] = Counter()
        """``attempts`` to open a chain, ``refusals`` of servers, and ``waits`` in line or for a retry."""

    def arrive(self, job: int, now: float) -> Sequence[Start | Wake]:
        self._searches[job] = _Search(self._clients[self._client_of[job]], now)
        self._look(job, now)
        return self._deliver(now)

    def wake(self, job: int, now: float) -> Sequence[Start | Wake]:
        if now >= self._next_wake:
            self._next_wake = math.inf
        return self._deliver(now)

    def depart(self, job: int, now: float) -> Sequence[Start | Wake]:
        search = self._searches.pop(job)
        for pool, need in self._uses(search.path):
            if search.client.ledger is not None:
                search.client.ledger.released(str(pool), need, now)
            self._send(now + self._away[pool], self._close, job, pool, search.attempt)
        return self._deliver(now)

    # What clients do.

    def _look(self, job: int, now: float) -> None:
        """Open the fastest chain that seems free, or wait."""
        search = self._searches[job]
        if search.failures < self._habits.attempts:
            path = self._choose(search, now)
            if path is not None:
                self._open(job, search, path, now)
                return
        self.counts["waits"] += 1
        if len(self._searches) > MAX_WAITING + sum(self._pools.capacity):
            raise Overloaded(f"over {MAX_WAITING:,} jobs wait; lower the arrival rate")
        if self._habits.tickets:
            search.in_line = True
            search.joining = len(self._tickets)
            for pool in self._tickets:
                self._send(now + self._away[pool], self._join, job, pool)
        else:
            search.retries += 1
            search.failures = 0
            search.refused.clear()
            self._send(now + back_off_seconds(search.retries), self._retry, job)

    def _choose(self, search: _Search, now: float) -> Path | None:
        near_equal, doubt = self._habits.near_equal, self._habits.doubt_seconds
        luck = [1 + near_equal * self._random.random() for _ in self._hosts] if near_equal else [1.0] * len(self._hosts)
        free = search.client.free(now)
        for pool, told in search.refused.items():
            free[pool] = min(free[pool], told)
        path = self._pools.fastest(free, luck)
        if path is None or math.isinf(doubt):
            return path
        hoped = search.client.hoped(free, doubt, now)
        for pool, told in search.refused.items():
            hoped[pool] = min(hoped[pool], told)
        faster = self._pools.fastest(hoped, luck)
        assert faster is not None, "there is at least the chain that is believed to be free"
        gain = self._pools.seconds(path) - self._pools.seconds(faster)
        return faster if gain > 2 * max(self._away[pool] for pool, _ in self._uses(faster)) else path

    def _retry(self, job: int, now: float) -> None:
        self._searches[job].client.read(now)
        self._look(job, now)

    def _open(self, job: int, search: _Search, path: Path, now: float) -> None:
        self.counts["attempts"] += 1
        search.attempt += 1
        search.path, search.unanswered = path, len(path)
        for pool, need in self._uses(path):
            if search.client.ledger is not None:
                search.client.ledger.opening(str(pool), need)
            self._send(now + self._away[pool], self._ask, job, pool, search.attempt, need)

    def _answer(self, job: int, now: float, pool: int, attempt: int, told: int) -> None:
        """A server has reserved (``told`` < 0), or refused and told what is free."""
        search = self._searches.get(job)
        if told >= 0:
            self.counts["refusals"] += 1
            self._clients[self._client_of[job]].refused(pool, told, now)
        if search is None or attempt != search.attempt or not search.unanswered:
            return
        if told >= 0:
            self._give_up(job, search, now)
            if not search.in_line:
                search.refused[pool] = told
                self._look(job, now)
            return
        search.unanswered -= 1
        if not search.unanswered:
            self._begin(job, search, now)

    def _begin(self, job: int, search: _Search, now: float) -> None:
        for pool, need in self._uses(search.path):
            if search.client.ledger is not None:
                search.client.ledger.opened(str(pool), need, now - 2 * self._away[pool])
        search.in_line = False
        self._decisions.append(Start(job, self._routes.route(search.path)))

    def _give_up(self, job: int, search: _Search, now: float) -> None:
        """Close what the attempt has reserved, and take the places in line again if it had any."""
        search.unanswered = 0
        search.failures += 1
        for pool, need in self._uses(search.path):
            if search.client.ledger is not None:
                search.client.ledger.refused(str(pool), need)
            self._send(now + self._away[pool], self._close, job, pool, search.attempt)
        if search.in_line:
            search.room.clear()
            for pool in self._tickets:
                self._send(now + self._away[pool], self._join, job, pool)

    def _offered(self, job: int, now: float, pool: int) -> None:
        search = self._searches.get(job)
        if search is not None and search.in_line:
            search.room.add(pool)
            self._compose(job, search, now)

    def _joined(self, job: int, now: float, pool: int) -> None:
        search = self._searches.get(job)
        if search is not None and search.joining:
            search.joining -= 1
            self._compose(job, search, now)

    def _compose(self, job: int, search: _Search, now: float) -> None:
        """Open the fastest chain of servers that have all offered room, once all have heard of the job."""
        if search.unanswered or search.joining or not search.in_line:
            return
        free = [self._tickets[pool] if pool in search.room else 0 for pool in range(len(self._hosts))]
        path = self._pools.fastest(free, [1.0] * len(free))
        if path is None:
            return
        # At once, not when all have answered: what they hold for this job is for the next one now.
        for pool in self._tickets.keys() - {pool for pool, _ in self._uses(path)}:
            self._send(now + self._away[pool], self._leave, job, pool)
        self._open(job, search, path, now)

    # What servers do.

    def _ask(self, job: int, now: float, pool: int, attempt: int, need: int) -> None:
        told = self._hosts[pool].ask(job, attempt, need, now)
        self._send(now + self._away[pool], self._answer, job, pool, attempt, -1 if told is None else told)
        self._offer(job, now, pool)

    def _close(self, job: int, now: float, pool: int, attempt: int) -> None:
        self._hosts[pool].give_back(job, attempt, now)
        self._offer(job, now, pool)

    def _join(self, job: int, now: float, pool: int) -> None:
        search = self._searches.get(job)
        if search is None or not search.in_line:
            return  # it was served before its second message to join came
        self._hosts[pool].join(job, search.since, self._tickets[pool], now)
        self._offer(job, now, pool)
        self._send(now + self._away[pool], self._joined, job, pool)

    def _leave(self, job: int, now: float, pool: int) -> None:
        self._hosts[pool].leave(job, now)
        self._offer(job, now, pool)

    def _offer(self, job: int, now: float, pool: int) -> None:
        told, lapse = self._hosts[pool].offers(now)
        for other in told:
            self._send(now + self._away[pool], self._offered, other, pool)
        if lapse is not None and lapse != self._alarms[pool]:
            self._alarms[pool] = lapse
            self._send(lapse, self._offer, job, pool)

    # How messages travel.

    def _uses(self, path: Path) -> list[tuple[int, int]]:
        """(pool, need) of each link."""
        return [(self._pools.pool[link], self._pools.need[link]) for link in path]

    def _send(self, when: float, what: Callable[..., None], job: int, *others: int) -> None:
        self._messages += 1
        heapq.heappush(self._agenda, (when, self._messages, what, job, others))

    def _deliver(self, now: float) -> Sequence[Start | Wake]:
        """Let everything happen that is due; asks to be woken for the next."""
        while self._agenda and self._agenda[0][0] <= now:
            _, _, what, job, others = heapq.heappop(self._agenda)
            what(job, now, *others)
        if self._agenda and self._agenda[0][0] < self._next_wake:
            self._next_wake = self._agenda[0][0]
            self._decisions.append(Wake(self._agenda[0][3], self._next_wake))
        decisions, self._decisions = self._decisions, []
        return decisions
