"""Clients that join the fastest free chain by themselves, from records that are some time old."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from routing.errors import ClusterInvalid
from routing.simulation.habits import Habits
from routing.simulation.links import RouteBook
from routing.simulation.pools import Pools
from routing.simulation.service_time import ServerTime
from routing.simulation.simulator import Dispatcher
from routing.simulation.stale_dispatch import Clients
from routing.simulation.workload import Job


@dataclass(frozen=True, slots=True)
class StaleClientsPolicy:
    """JFFC without a centre: servers are the authority over their pools, clients know them from records.

    Servers announce their free cache every ``announce_seconds``, and each of ``clients`` reads the records at intervals
    of its own, drawn evenly from ``view_seconds``; each job is of one client at random. To open a chain the client asks
    all of its servers at once, ``one_way`` seconds (by server) away; each reserves or refuses with what it has free.
    When one refuses, the client gives back what others reserved and tries the next chain at once. When no chain is free
    in its view, it takes a ticket at every pool, each offers its room to the first in line, and the chain is opened
    whose servers have all offered; the other lines are left at that moment. A job runs once
    the last server has answered, and its cache is free again when the servers hear of its end.

    The simulation raises Overloaded once MAX_WAITING jobs wait.
    """

    pools: Pools
    one_way: tuple[float, ...]
    clients: int = 50
    view_seconds: tuple[float, float] = (10.0, 60.0)
    announce_seconds: float = 6.0
    habits: Habits = field(default_factory=Habits)
    name: str = "stale-clients"

    def __post_init__(self) -> None:
        least, most = self.view_seconds
        if self.clients < 1 or not 0 <= least <= most < math.inf or self.announce_seconds < 0:
            raise ClusterInvalid("give at least 1 client, ages of views from 0 up, and seconds between announcements")

    def dispatcher(self, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator) -> Dispatcher:
        return Clients(
            self.pools,
            self.one_way,
            self.habits,
            RouteBook(self.pools.graph, times),
            periods=rng.uniform(*self.view_seconds, self.clients).tolist(),
            announce_seconds=self.announce_seconds,
            client_of=rng.integers(self.clients, size=len(jobs)).tolist(),
            rng=rng,
        )
