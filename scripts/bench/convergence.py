"""How close servers that decide for themselves come to a central plan, and how many moves that takes.

    python scripts/bench convergence [--swarms 200] [--out build/bench_convergence]

Random swarms of 5 to 60 unlike servers join one after the other. Each sees the others as they were when it last read
the directory (up to 30 s ago) and as they last announced themselves before that (every 10 s, one announcement in twenty
is lost). Every minute it is one server's turn to decide; it loads for a minute if it moves, keeps the blocks that it
had before, and leaves blocks only if others that it asks serve them. All that they decide is what nodes decide. A swarm
is at rest once nobody has joined for an hour, all have had a turn since, and nobody moved. Written: swarms.csv,
convergence.png; printed: the response time reached, as a ratio to that of GBP-CR with the best c on the same servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated

import numpy as np
import typer

from bench.shared.drawn_swarm import DrawnSwarm
from bench.shared.harness import Out, Results, Workers, console, in_processes
from routing.node.moves import Move, Placed, expected_reserve, forecast, join, move_for_speed, plan_for, plan_seconds
from routing.plan.reserve import Plan, choose_reserve
from routing.settings import TURN_SECONDS
from routing.span import Span
from swarm_node.node.settings import LOAD_SECONDS

READ_SECONDS, ANNOUNCE_SECONDS, LOST = 30.0, 10.0, 0.05
JOIN_SECONDS = 30.0
SETTLE_SECONDS = 300.0
"""After the last move; then everybody has seen it."""
LONGEST_SECONDS = 48 * 3600.0


@dataclass(frozen=True, slots=True)
class Result:
    """One swarm that came to rest."""

    seed: int
    servers: int
    blocks: int
    load: float
    joined: float
    """Response time after the last join, as a ratio to the central plan's."""
    reached: float
    """The same at rest."""
    moves: float
    """Per server."""
    hours: float
    """From the first join to the last move."""
    uncovered: int
    """Blocks that a move left to nobody."""
    rested: bool


class Swarm(DrawnSwarm):
    """Where each server has been since it joined, and the clock."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.members: list[int] = []
        self.since: list[list[tuple[float, Span]]] = [[] for _ in self.servers]
        """(time, span) for every time a server began to load."""
        self.now = 0.0

    def seen_by(self, reader: int | None) -> Placed:
        """The members as ``reader`` sees them; None sees everything as it is."""
        read = self.now - self.random.uniform(0, READ_SECONDS)
        spans: list[Span | None] = []
        for member in self.members:
            seen_at = self.now
            if reader not in (None, member):
                lost = 0
                while self.random.random() < LOST:
                    lost += 1
                seen_at = read - self.random.uniform(0, ANNOUNCE_SECONDS) - lost * ANNOUNCE_SECONDS
            spans.append(next((span for time, span in reversed(self.since[member]) if time <= seen_at), None))
        return Placed(
            tuple(self.servers[member] for member in self.members), self.model, tuple(spans), self.arrival_rate
        )

    def serves(self, member: int) -> Span | None:
        """What a server serves now: while it loads, the blocks that it keeps."""
        time, span = self.since[member][-1]
        if time + LOAD_SECONDS <= self.now:
            return span
        before = self.since[member][-2][1] if len(self.since[member]) > 1 else None
        return None if before is None else before.common(span)

    def may_leave(self, mover: int, span: Span) -> bool:
        """Whether it has loaded, and the others, asked now, serve the blocks that it would leave."""
        if self.since[mover][-1][0] + LOAD_SECONDS > self.now:
            return False
        others = [self.serves(member) for member in self.members if member != mover]
        return all(
            block in span or any(other is not None and block in other for other in others)
            for block in self.since[mover][-1][1].blocks()
        )


class Growth:
    """A swarm from its first server until it rests."""

    def __init__(self, seed: int) -> None:
        self.swarm = Swarm(seed)
        draw = self.swarm.random
        self.newcomers = list(range(len(self.swarm.servers)))
        draw.shuffle(self.newcomers)
        self.joins: list[float] = np.cumsum([draw.expovariate(1 / JOIN_SECONDS) for _ in self.newcomers]).tolist()
        self.plan: Plan | None = None
        """What servers go by, for so many members."""
        self.planned_for = 0
        self.moves, self.uncovered, self.last_move = 0, 0, 0.0
        self.settled: set[int] = set()
        """Servers that would not move since the last change."""

    def run(self, seed: int) -> Result:
        swarm = self.swarm
        turn = TURN_SECONDS
        joined = float("inf")
        while not (swarm.members and len(self.settled) == len(swarm.members)) and swarm.now < LONGEST_SECONDS:
            if self.joins and self.joins[0] <= turn:
                swarm.now = self.joins.pop(0)
                self._join()
                joined = forecast(swarm.seen_by(None)).seconds
                continue
            swarm.now, turn = turn, turn + TURN_SECONDS
            if swarm.members:
                self._turn()
        members = [swarm.servers[member] for member in swarm.members]
        central = choose_reserve(members, swarm.model, swarm.arrival_rate).bounds.lower
        return Result(
            seed,
            len(swarm.members),
            swarm.model.blocks,
            swarm.load,
            joined / central,
            forecast(swarm.seen_by(None)).seconds / central,
            self.moves / len(swarm.members),
            self.last_move / 3600,
            self.uncovered,
            len(self.settled) == len(swarm.members),
        )

    def _join(self) -> None:
        swarm, newcomer = self.swarm, self.newcomers.pop()
        swarm.members.append(newcomer)
        seen = swarm.seen_by(newcomer)
        reserve = expected_reserve(seen.servers, seen.model, seen.arrival_rate)
        span = join(seen, len(swarm.members) - 1, reserve)
        if span is None:
            swarm.members.pop()
        else:
            swarm.since[newcomer].append((swarm.now, span))
        self.settled.clear()

    def _turn(self) -> None:
        """One server decides, and moves if the others let it go."""
        swarm = self.swarm
        if self.planned_for != len(swarm.members):
            self.plan, self.planned_for = plan_for(swarm.seen_by(None)), len(swarm.members)
        mover = swarm.random.choice([member for member in swarm.members if member not in self.settled])
        seen = swarm.seen_by(mover)
        joined_at = [swarm.since[member][0][0] for member in swarm.members]
        decision = move_for_speed(seen, swarm.members.index(mover), self.plan, joined_at, LOAD_SECONDS, swarm.now)
        if isinstance(decision, Move) and swarm.may_leave(mover, decision.span):
            before = _uncovered(swarm)
            swarm.since[mover].append((swarm.now, decision.span))
            self.uncovered += max(0, _uncovered(swarm) - before)
            self.moves, self.last_move = self.moves + 1, swarm.now
            self.settled.clear()
        elif plan_seconds(joined_at, swarm.now) == float("inf") and swarm.now - self.last_move > SETTLE_SECONDS:
            self.settled.add(mover)


def converge(seed: int) -> Result:
    return Growth(seed).run(seed)


def _uncovered(swarm: Swarm) -> int:
    served = [span for span in map(swarm.serves, swarm.members) if span is not None]
    return sum(not any(block in span for span in served) for block in range(swarm.model.blocks))


def main(
    swarms: Annotated[int, typer.Option(min=1, help="Random swarms.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the first one.")] = 0,
    workers: Workers = 2,
    out: Out = Path("build/bench_convergence"),
) -> None:
    """Measure, print and write the results."""
    written = Results(out)
    results = in_processes(workers, "swarms", converge, range(seed, seed + swarms))
    written.write_rows("swarms", results)
    for what in ("joined", "reached"):
        ratios = [getattr(result, what) for result in results]
        median, p90, p95 = np.percentile(ratios, [50, 90, 95], method="higher")
        console.print(f"{what}: median {median:.3f}, P90 {p90:.3f}, P95 {p95:.3f}, worst {max(ratios):.3f}")
    console.print(
        f"moves per server: mean {mean(result.moves for result in results):.2f}, most "
        f"{max(result.moves for result in results):.2f}; blocks uncovered: {sum(r.uncovered for r in results)}; "
        f"at rest: {sum(result.rested for result in results)} of {len(results)}"
    )
    with written.plot("convergence", (6, 4)) as axes:
        share = np.arange(1, len(results) + 1) / len(results)
        for what, label in (("joined", "after joining"), ("reached", "at rest")):
            axes.plot(sorted(getattr(result, what) for result in results), share, label=label)
        axes.set(xlabel="response time / central plan's", ylabel="share of swarms", xlim=(0.9, 1.5))
        axes.grid(alpha=0.3)
        axes.legend()
