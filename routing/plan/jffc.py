"""Join the fastest free chain: the state of a dispatcher that sends jobs to chains."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from routing.plan.cluster import Chain

JobT = TypeVar("JobT")


class Jffc(Generic[JobT]):
    """Sends each job to the fastest chain with a free slot, else to one FIFO queue (arXiv 2604.14993, Algorithm 3).

    Chains are known by their place in ``chains``; among equally fast ones the first is taken. O(log K) a job for K
    chains.
    """

    def __init__(self, chains: Sequence[Chain]) -> None:
        self._order = sorted(range(len(chains)), key=lambda index: (chains[index].service_seconds, index))
        self._rank = {index: rank for rank, index in enumerate(self._order)}
        self._free = [chain.capacity for chain in chains]
        self._ranks_with_room = [self._rank[index] for index in self._order if self._free[index] > 0]
        self._queue: deque[JobT] = deque()

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._queue)

    def arrive(self, job: JobT) -> int | None:
        """The chain on which ``job`` starts now; None if all are full, and then it waits."""
        if not self._ranks_with_room:
            self._queue.append(job)
            return None
        index = self._order[self._ranks_with_room[0]]
        self._free[index] -= 1
        if self._free[index] == 0:
            heapq.heappop(self._ranks_with_room)
        return index

    def depart(self, chain: int) -> JobT | None:
        """A job on ``chain`` has ended: the waiting job that starts there now, None if none waits."""
        if self._queue:
            return self._queue.popleft()
        self._free[chain] += 1
        if self._free[chain] == 1:
            heapq.heappush(self._ranks_with_room, self._rank[chain])
        return None
