"""What one client believes is free: records that it read some time ago, and what it has met itself since."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from routing.client.ledger import Ledger
from routing.simulation.host_pool import HostPool
from routing.snapshot import NodeState, NodeView, Snapshot
from routing.span import Span

RECORD_SECONDS = 20.0
"""Lifetime of a record; only the book on own sessions knows of it."""


class Records:
    """All pools' records, made every ``announce_seconds`` (0: at every reading): what was free at that moment."""

    def __init__(
        self, hosts: Sequence[HostPool], servers: Sequence[int], announce_seconds: float, rng: np.random.Generator
    ) -> None:
        self._hosts = hosts
        self._every = announce_seconds
        phases = rng.uniform(0, 1, max(servers) + 1) * announce_seconds
        self._phases = [float(phases[server]) for server in servers]
        self._blank = [
            NodeView(str(pool), (), NodeState.ONLINE, Span(0, 1), 0, 0, 0, host.capacity, host.capacity, 0.0, 0.0)
            for pool, host in enumerate(hosts)
        ]

    def snapshot(self, read_at: float) -> Snapshot:
        """What one reads at this moment."""
        nodes = []
        for host, phase, blank in zip(self._hosts, self._phases, self._blank, strict=True):
            made_at = read_at
            if self._every:
                made_at = math.floor((read_at - phase) / self._every) * self._every + phase
            nodes.append(replace(blank, free_tokens=host.told_at(made_at), expires_at=made_at + RECORD_SECONDS))
        return Snapshot("", tuple(nodes), read_at)


@dataclass(slots=True)
class ClientView:
    """One client's snapshot and, with ``ledger``, its book. It reads the records every ``period`` seconds."""

    records: Records
    period: float
    """0 for a client that reads at every look."""
    phase: float
    ledger: Ledger | None
    _snapshot: Snapshot | None = None

    def free(self, now: float) -> list[int]:
        """By pool."""
        snapshot = self._latest(now)
        if self.ledger is not None:
            snapshot = self.ledger.adjusted(snapshot)
        return [node.free_tokens for node in snapshot.nodes]

    def hoped(self, free: Sequence[int], doubt_seconds: float, now: float) -> list[int]:
        """The same, but a pool may be free as a whole where what is known is older than ``doubt_seconds``."""
        book = self.ledger or Ledger(RECORD_SECONDS)
        return [
            node.cache_tokens if book.known_at(node) < now - doubt_seconds else believed
            for node, believed in zip(self._latest(now).nodes, free, strict=True)
        ]

    def refused(self, pool: int, free: int, now: float) -> None:
        """A pool had no room, and told what it has."""
        if self.ledger is not None:
            self.ledger.told(str(pool), free, now)

    def read(self, now: float) -> None:
        """Read the records now, whenever the next turn is."""
        self._snapshot = self.records.snapshot(now)

    def _latest(self, now: float) -> Snapshot:
        due = now if self.period == 0 else now - (now - self.phase) % self.period
        if self._snapshot is None or self._snapshot.taken_at < due:
            self._snapshot = self.records.snapshot(due)
        return self._snapshot
