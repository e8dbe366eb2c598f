"""This project's client as a policy of the simulator: it knows everything at once, but chooses as the real one does.

The paper's own policies fill the chain that is fastest for the mean job to the brim. The client reckons with each job's
lengths, and takes one of the chains that are nearly as fast, at random: this matters once jobs on one machine slow each
other down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing.settings import NEAR_EQUAL
from routing.simulation import Dispatcher, Job, ServerTime, Start, Wake
from routing.simulation.links import LinkGraph, Path, RouteBook


@dataclass(frozen=True, slots=True)
class SwarmPolicy:
    """The fastest free path for each job, by times that luck makes up to NEAR_EQUAL longer on each server.

    Jobs that fit nowhere wait in one FIFO queue.
    """

    graph: LinkGraph
    room: tuple[int, ...]
    """Cache of each server, in the unit of ``needs``, counted once for each block."""
    needs: tuple[int, ...]
    """Cache that each job reserves in each block."""
    token_seconds: tuple[float, ...]
    """What each server adds to each token of the answer, beside computing."""
    queues: bool
    """Whether prompts wait for each other on a server, and clients reckon with it."""
    name: str = "swarm"

    def dispatcher(self, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator) -> Dispatcher:
        return _Clients(self, jobs, times, rng)


class _Clients(Dispatcher):
    def __init__(
        self, policy: SwarmPolicy, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator
    ) -> None:
        self._graph = policy.graph
        self._token_seconds = policy.token_seconds
        self._jobs = jobs
        self._times = times
        self._needs = policy.needs
        self._free = list(policy.room)
        self._queues = policy.queues
        self._idle_at = [0.0] * len(times)
        """When each server has computed the prompts that it has, if nothing else kept it from that."""
        self._book = RouteBook(policy.graph, times)
        self._rng = rng
        self._queue: deque[int] = deque()
        self._running: dict[int, Path] = {}

    def arrive(self, job: int, now: float) -> Sequence[Start | Wake]:
        self._queue.append(job)
        return self._start_waiting(now) if len(self._queue) == 1 else ()

    def depart(self, job: int, now: float) -> Sequence[Start | Wake]:
        self._take(self._running.pop(job), -self._needs[job])
        return self._start_waiting(now)

    def _start_waiting(self, now: float) -> Sequence[Start | Wake]:
        starts: list[Start | Wake] = []
        while self._queue and (path := self._path(self._queue[0], now)) is not None:
            job = self._queue.popleft()
            self._take(path, self._needs[job])
            self._send_prompt(job, path, now)
            self._running[job] = path
            starts.append(Start(job, self._book.route(path)))
        return starts

    def _take(self, path: Path, amount: int) -> None:
        for link in path:
            self._free[self._graph.server[link]] -= amount * self._graph.length[link]

    def _send_prompt(self, number: int, path: Path, now: float) -> None:
        for link in path:
            server, length = self._graph.server[link], self._graph.length[link]
            seconds = self._times[server].block.seconds(self._jobs[number].input_tokens, 1) * length
            self._idle_at[server] = max(self._idle_at[server], now) + seconds

    def _path(self, number: int, now: float) -> Path | None:
        graph, free = self._graph, self._free
        job, need = self._jobs[number], self._needs[number]
        luck = 1 + NEAR_EQUAL * self._rng.random(len(free))
        block = [time.block.seconds(job.input_tokens, job.output_tokens) for time in self._times]
        ahead = [max(0.0, idle_at - now) if self._queues else 0.0 for idle_at in self._idle_at]
        return graph.cheapest(
            [
                luck[server] * (block[server] * length + self._token_seconds[server] * job.output_tokens)
                + ahead[server]
                if free[server] >= need * length
                else np.inf
                for server, length in zip(graph.server, graph.length, strict=True)
            ]
        )
