"""Volunteers come and go for a day."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import count
from statistics import mean

import numpy as np

from bench.shared.drawn_swarm import best_rate, draw_server
from churn.member import USUAL_PACE, Member
from churn.swarm import Why, placed_by_plan, plan_of, suffices
from routing.node.moves import Placed, forecast, join
from routing.plan.cluster import ModelShape, Server, hosted_blocks

PRESENT = 40
"""Servers that are there at a time, on average."""
MEDIAN_HOURS, MEAN_HOURS = 2.0, 5.0
"""Of a stay."""
LOAD = 0.3
"""Share of the best rate of the first servers at which jobs come."""


@dataclass(slots=True)
class Day:
    """A swarm through a day; times are shares of it."""

    seed: int
    factor: float
    hours: float
    suffices: float = 0.0
    """Those there could hold the model."""
    covered: float = 0.0
    """All blocks were served."""
    outages: int = 0
    """How often they ceased to be."""
    overloaded: float = 0.0
    """They were, but not for as many jobs as come, though the central plan could."""
    comparable: float = 0.0
    """Both serve all jobs; the means that follow are over this time."""
    seconds: float = 0.0
    """Mean lower bound on the response time."""
    central: float = 0.0
    """The same of the central plan."""
    ratio: float = math.nan
    """Of the two, the median over time."""
    ratio_high: float = math.nan
    """What that ratio exceeds a twentieth of the time."""
    node_hours: float = 0.0
    joins: int = 0
    speed_moves: int = 0
    rescue_moves: int = 0
    fresh_starts: int = 0
    needless: int = 0
    """Of the moves to rescue, those while all blocks were hosted: a record was late, and its server not reached."""
    refused: int = 0
    uncovered: int = 0


class Volunteers:
    """Servers that come and go, and what is measured of them."""

    def __init__(self, seed: int, factor: float, hours: float, apart: float) -> None:
        self.day = Day(seed, factor, hours)
        self.draw = random.Random(seed)
        blocks, cache = self.draw.choice([32, 40, 60, 80]), self.draw.choice([0.03, 0.1])
        typical = [draw_server(self.draw, number) for number in range(1000)]
        memory = PRESENT * mean(server.memory_bytes for server in typical)
        block_bytes = memory / (factor * blocks * (1 + 2 * cache))
        self.model = ModelShape(blocks, block_bytes, cache * block_bytes)
        self.numbers = count()
        servers = [self._server() for _ in range(PRESENT)]
        best = best_rate(servers, self.model)
        self.swarm = placed_by_plan(self.model, servers, LOAD * best, seed, USUAL_PACE, apart)
        self.reserve = 1
        self.ratios: list[tuple[float, float]] = []
        """Response time as a ratio to the central plan's, and for how long."""
        for member in self.swarm.present:
            # Whom one meets at any moment stays longer than who comes, and is somewhere within that time.
            self._leave_after(member, self.draw.random() * self._session(met=True))
        self.since = 0.0
        self._look()
        self.swarm.changed = self._changed
        self.swarm.turns()
        self.swarm.at(self._wait(), self._arrive)

    def run(self) -> Day:
        self.swarm.advance(self.day.hours * 3600)
        self._changed()
        day, swarm = self.day, self.swarm
        total = day.hours * 3600
        day.seconds /= day.comparable or 1
        day.central /= day.comparable or 1
        if day.comparable:
            ratios, lasted = zip(*self.ratios, strict=True)
            day.ratio, day.ratio_high = np.quantile(ratios, [0.5, 0.95], weights=lasted, method="inverted_cdf").tolist()
        for share in ("suffices", "covered", "overloaded", "comparable"):
            setattr(day, share, getattr(day, share) / total)
        day.speed_moves, day.rescue_moves, day.fresh_starts = (swarm.counts.moves[why] for why in Why)
        day.needless, day.refused, day.uncovered = swarm.counts.needless, swarm.counts.refused, swarm.counts.uncovered
        return day

    def _server(self) -> Server:
        """One that holds at least one block: others cannot join."""
        while True:
            server = draw_server(self.draw, next(self.numbers))
            if hosted_blocks(server, self.model, 1):
                return server

    def _wait(self) -> float:
        return self.swarm.now + self.draw.expovariate(PRESENT / (MEAN_HOURS * 3600))

    def _session(self, met: bool = False) -> float:
        variance = 2 * math.log(MEAN_HOURS / MEDIAN_HOURS)
        centre = math.log(MEDIAN_HOURS * 3600) + (variance if met else 0.0)
        return self.draw.lognormvariate(centre, math.sqrt(variance))

    def _arrive(self) -> None:
        self.swarm.at(self._wait(), self._arrive)
        server = self._server()
        seen = [member for member in self.swarm.present if member.expires > self.swarm.now]
        placed = Placed(
            (*(member.server for member in seen), server),
            self.model,
            (*(member.recorded for member in seen), None),
            self.swarm.arrival_rate,
        )
        plan = plan_of(placed)
        self.reserve = plan.reserve if plan is not None else self.reserve
        span = join(placed, len(seen), self.reserve)
        if span is not None:
            self.day.joins += 1
            self._leave_after(self.swarm.add(server, span), self._session())

    def _leave_after(self, member: Member, seconds: float) -> None:
        leave = self.swarm.drain if self.draw.random() < 0.5 else self.swarm.vanish
        self.swarm.at(self.swarm.now + seconds, lambda: leave(member))

    def _changed(self) -> None:
        """Count what was true until now, and look anew."""
        day, lasted = self.day, self.swarm.now - self.since
        self.since = self.swarm.now
        day.suffices += lasted * self.enough
        day.covered += lasted * (not self.now.missing)
        day.overloaded += lasted * (not self.now.missing and self.now.shortfall > 0 and self.central < math.inf)
        if self.now.seconds < math.inf and self.central < math.inf:
            day.comparable += lasted
            day.seconds += lasted * self.now.seconds
            day.central += lasted * self.central
            self.ratios.append((self.now.seconds / self.central, lasted))
        day.node_hours += lasted / 3600 * self.there
        served_before = not self.now.missing
        self._look()
        day.outages += served_before and self.now.missing > 0

    def _look(self) -> None:
        plan = plan_of(self.swarm.claimed()) if self.swarm.staying() else None
        self.now = forecast(self.swarm.served())
        self.central = math.inf if plan is None else plan.bounds.lower
        self.enough, self.there = suffices(self.swarm), len(self.swarm.present)


def day(seed: int, factor: float, hours: float, apart: float = 0.0) -> Day:
    return Volunteers(seed, factor, hours, apart).run()
