"""What a wide-area network does to packets: delay, a bounded queue in front of a finite rate, loss, and cut cables.

Pure: packets and times come from the caller, and so does chance.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

QUEUE_SECONDS = 0.2
"""What a full queue takes to drain: as much as routers of homes and providers hold, or somewhat less."""
QUEUE_BYTES = 128 * 1024
"""A queue holds this much even where that takes longer, as a slow link must still hold some large packets."""


@dataclass(slots=True)
class Link:
    """One direction between two hosts."""

    delay: float
    """Seconds from the last bit sent to the last bit received."""
    rate_bits: float
    """Bits per second."""
    loss: float
    """Share of packets, lost independently of each other."""
    free_at: float = 0.0
    """When the last packet accepted is sent."""
    due: float = 0.0
    """When the last packet accepted is to be delivered."""

    def accept(self, size: int, now: float) -> float | None:
        """When a packet of ``size`` bytes that came at ``now`` is to be delivered, None if the queue is full."""
        byte_seconds = 8.0 / self.rate_bits
        start = self.free_at if self.free_at > now else now
        waiting = start - now
        if waiting > QUEUE_SECONDS and waiting > QUEUE_BYTES * byte_seconds:
            return None
        self.free_at = start + size * byte_seconds
        # Packets do not overtake each other when the delay shrinks.
        self.due = max(self.due, self.free_at + self.delay)
        return self.due


@dataclass(slots=True)
class Traffic:
    """What happened so far. Lateness tells whether the machine keeps up: it adds to every delay."""

    packets: int = 0
    """Delivered."""
    lost: int = 0
    """By chance."""
    overflowed: int = 0
    """They found a full queue."""
    cut: int = 0
    """From or to a host that was cut off."""
    refused: int = 0
    """Not taken by the host that they were for."""
    late_mean: float = 0.0
    """Seconds between when a packet was due and when it was delivered."""
    late_most: float = 0.0


class Links:
    """All links between some hosts, and the packets under way on them. Hosts count from 0."""

    def __init__(self, delays: Sequence[Sequence[float]], rate_bits: float, loss: float) -> None:
        """``delays[i][j]`` is in seconds, one way from host i to host j."""
        self._links = [[Link(delay, rate_bits, loss) for delay in row] for row in delays]
        self._cut: set[int] = set()
        self._under_way: list[tuple[float, int, int, bytes]] = []
        """A heap of due time, number (for order among equal times), destination, packet."""
        self._number = 0
        self._late_sum = 0.0
        self._traffic = Traffic()

    def __getitem__(self, ends: tuple[int, int]) -> Link:
        return self._links[ends[0]][ends[1]]

    def cut(self, host: int) -> None:
        """Drop all packets from and to this host, those under way to it included."""
        self._cut.add(host)

    def heal(self, host: int) -> None:
        self._cut.discard(host)

    def traffic(self) -> Traffic:
        """A view that changes with the traffic."""
        self._traffic.late_mean = self._late_sum / max(self._traffic.packets, 1)
        return self._traffic

    def accept(self, source: int, destination: int, packet: bytes, now: float) -> None:
        """A host sends a packet; a destination that does not exist swallows it."""
        if destination < 0 or destination >= len(self._links):
            return
        if self._cut and (source in self._cut or destination in self._cut):
            self._traffic.cut += 1
            return
        link = self._links[source][destination]
        due = link.accept(len(packet), now)
        if due is None:
            self._traffic.overflowed += 1
        elif link.loss and random.random() < link.loss:
            self._traffic.lost += 1  # it has used the link all the same
        else:
            self._number += 1
            heapq.heappush(self._under_way, (due, self._number, destination, packet))

    def deliver(self, clock: Callable[[], float], write: Callable[[int, bytes], bool]) -> float | None:
        """Write what is due; returns the seconds until the next packet is, None if there is none.

        ``write(destination, packet)`` tells whether the host took the packet.
        """
        under_way, traffic = self._under_way, self._traffic
        while under_way:
            late = clock() - under_way[0][0]
            if late < 0:
                return -late
            _, _, destination, packet = heapq.heappop(under_way)
            if destination in self._cut:
                traffic.cut += 1
            elif not write(destination, packet):
                traffic.refused += 1
            else:
                traffic.packets += 1
                self._late_sum += late
                traffic.late_most = max(traffic.late_most, late)
        return None
