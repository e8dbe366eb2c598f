"""The simulator with GPUs that compute one batch at a time: jobs on one machine slow each other down.

`routing.simulation` knows when a job ends as soon as it starts, as its time does not depend on others. Here each prompt
and token is followed from machine to machine, through the batches that the engine's own scheduler makes.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from emulation.gpu import ROW_TOKENS, EmulatedGpu
from routing.plan.cluster import Link
from routing.settings import LINK_HANDLING_SECONDS
from routing.simulation import Job, Policy, Route, SimulationResult, Start, Wake
from routing.span import Span
from swarm_node.client.settings import PREFILL_STEP_TOKENS
from swarm_node.engine.schedule import BatchLimits, next_batch
from swarm_node.engine.settings import DECODES_RECENT_SECONDS
from swarm_node.wire import is_decode
from testbed.cluster import Cluster


def simulate_shared(
    policy: Policy, jobs: Sequence[Job], cluster: Cluster, rng: np.random.Generator
) -> SimulationResult:
    """Like routing.simulation.simulate, over the machines and delays of ``cluster``."""
    return _Simulation(policy, jobs, cluster, rng).run()


@dataclass(eq=False, slots=True)
class _Running:
    """A job on its route."""

    number: int
    job: Job
    links: tuple[Link, ...]
    sessions: list[_Session]
    """One for each link."""
    tokens: int = 0
    """Generated so far."""


@dataclass(eq=False, slots=True)
class _Step:
    """A frame on its way through one machine, as the engine's scheduler sees it."""

    session: _Session
    tokens: int
    """Rows of hidden states, as there."""
    prompt_tokens: int
    """That they stand for; 0 for a generated token."""
    arrival: int
    turn: int
    done: int = 0
    last: bool = True
    """The last frame of a prompt, or a token: the client waits for its result."""

    @property
    def span(self) -> Span:
        return self.session.span


@dataclass(eq=False, slots=True)
class _Session:
    """A job's place on one machine."""

    running: _Running
    hop: int
    span: Span
    steps: deque[_Step] = field(default_factory=deque)
    begun: bool = False
    decoded_at: float = float("-inf")


class _Machine:
    """One GPU, with the engine's rules."""

    def __init__(self, gpu: EmulatedGpu) -> None:
        self.gpu = gpu
        self.sessions: set[_Session] = set()
        self.busy = False
        self.limits = BatchLimits.of("cpu")

    def next_batch(self, now: float) -> list[tuple[_Step, int]]:
        ready = [session.steps[0] for session in self.sessions if session.steps]
        recent = now - DECODES_RECENT_SECONDS
        expected = any(session.decoded_at > recent and not session.steps for session in self.sessions)
        return next_batch(ready, self.limits, decodes_expected=expected)

    def seconds(self, batch: Sequence[tuple[_Step, int]]) -> float:
        tokens = sum(_tokens(step, taken) for step, taken in batch)
        begun = sum(not step.session.begun for step, _ in batch)
        return self.gpu.batch_seconds(begun, tokens) * len(batch[0][0].span)


class _Simulation:
    def __init__(self, policy: Policy, jobs: Sequence[Job], cluster: Cluster, rng: np.random.Generator) -> None:
        self._jobs = jobs
        self._cluster = cluster
        self._dispatcher = policy.dispatcher(jobs, cluster.times(), rng)
        self._machines = [_Machine(EmulatedGpu(machine.time, shared=True)) for machine in cluster.machines]
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._now = 0.0
        self._number = 0
        self._starts = np.full(len(jobs), np.nan)
        self._ends = np.full(len(jobs), np.nan)
        self._routes: list[Route | None] = [None] * len(jobs)

    def run(self) -> SimulationResult:
        for number, job in enumerate(self._jobs):
            self._at(job.arrival, partial(self._ask, self._dispatcher.arrive, number))
        while self._agenda:
            self._now, _, event = heapq.heappop(self._agenda)
            event()
        routes = tuple(route for route in self._routes if route is not None)
        assert len(routes) == len(self._jobs), "a policy starts every job"
        arrivals = np.array([job.arrival for job in self._jobs])
        return SimulationResult(arrivals, self._starts, self._ends, routes)

    def _at(self, time: float, event: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (time, self._number, event))

    def _ask(self, what: Callable[[int, float], Sequence[Start | Wake]], job: int) -> None:
        """Tell the dispatcher what has come of a job, and do what it then wants."""
        for decision in what(job, self._now):
            if isinstance(decision, Start):
                self._start(decision.job, decision.route)
            else:
                self._at(decision.at, partial(self._ask, self._dispatcher.wake, decision.job))

    def _start(self, number: int, route: Route) -> None:
        self._starts[number] = self._now
        self._routes[number] = route
        running = _Running(number, self._jobs[number], route.links, [])
        running.sessions = [_Session(running, hop, link.span) for hop, link in enumerate(route.links)]
        for link, session in zip(route.links, running.sessions, strict=True):
            self._machines[link.server].sessions.add(session)
        rows = -(-running.job.input_tokens // ROW_TOKENS)
        for first in range(0, rows, PREFILL_STEP_TOKENS):
            sent = min(PREFILL_STEP_TOKENS, rows - first)
            tokens = min(sent * ROW_TOKENS, running.job.input_tokens - first * ROW_TOKENS)
            self._send(running, 0, sent, tokens, first + sent == rows)

    def _send(self, running: _Running, hop: int, rows: int, tokens: int, last: bool) -> None:
        """From the client or the machine before to hop ``hop``."""
        source = running.links[hop - 1].server if hop else self._cluster.client
        delay = self._cluster.delays[source][running.links[hop].server] + LINK_HANDLING_SECONDS
        self._at(self._now + delay, partial(self._queue, running, hop, rows, tokens, last))

    def _queue(self, running: _Running, hop: int, rows: int, tokens: int, last: bool) -> None:
        self._number += 1
        session = running.sessions[hop]
        session.steps.append(_Step(session, rows, tokens, self._number, self._number, last=last))
        self._compute(running.links[hop].server)

    def _compute(self, server: int) -> None:
        machine = self._machines[server]
        if not machine.busy and (batch := machine.next_batch(self._now)):
            machine.busy = True
            self._at(self._now + machine.seconds(batch), partial(self._computed, server, batch))
            for step, _ in batch:
                step.session.begun = True

    def _computed(self, server: int, batch: Sequence[tuple[_Step, int]]) -> None:
        machine = self._machines[server]
        machine.busy = False
        for step, taken in batch:
            session = step.session
            step.done += taken
            self._number += 1
            step.turn = self._number
            if is_decode(step.tokens):
                session.decoded_at = self._now
            if step.done == step.tokens:
                session.steps.popleft()
                self._pass_on(session, step)
        self._compute(server)

    def _pass_on(self, session: _Session, step: _Step) -> None:
        running, hop = session.running, session.hop + 1
        if hop < len(running.links):
            self._send(running, hop, step.tokens, step.prompt_tokens, step.last)
        elif step.last:
            delay = self._cluster.delays[running.links[-1].server][self._cluster.client]
            self._at(self._now + delay, partial(self._receive, running))

    def _receive(self, running: _Running) -> None:
        """One more token has come to the client."""
        running.tokens += 1
        if running.tokens < running.job.output_tokens:
            self._send(running, 0, 1, 0, True)
            return
        for link, session in zip(running.links, running.sessions, strict=True):
            self._machines[link.server].sessions.remove(session)
        self._ends[running.number] = self._now
        self._ask(self._dispatcher.depart, running.number)


def _tokens(step: _Step, rows: int) -> int:
    """What ``rows`` of the step's rows stand for; a generated token is one."""
    if not step.prompt_tokens:
        return rows
    return min(rows * ROW_TOKENS, step.prompt_tokens - step.done * ROW_TOKENS)
