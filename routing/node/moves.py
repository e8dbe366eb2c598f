"""When a server should move to other blocks, and where to: each decides for itself, from what it sees of all.

The yardstick is the lower bound on mean response time over the chains that GCA finds (arXiv 2604.14993, Theorem 4), and
the goal what a central planner would reach with GBP-CR and its best c on the same servers. That plan depends on who is
there but not on where they are, so it stands still while servers move towards it, and a swarm comes to rest.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from routing.errors import CapacityError
from routing.plan.cluster import ModelShape, Server, hosted_blocks, total_rate
from routing.plan.gca import gca
from routing.plan.reserve import Plan, choose_reserve, reserves
from routing.plan.response_time import response_time_bounds
from routing.settings import (
    CALM_SECONDS,
    FEWEST_RESERVES,
    GROWING_SHARE,
    HORIZON_SECONDS,
    HOUR_SECONDS,
    LEAST_RESERVE,
    MOST_DOUBLINGS,
    MOST_PLACES,
    PLANNED_SERVERS,
    TURN_SECONDS,
    WORTHWHILE,
)
from routing.span import Span, replicas


@dataclass(frozen=True, slots=True)
class Placed:
    """Servers, and the blocks that each hosts, None for one that has none yet; all known to the one who decides."""

    servers: tuple[Server, ...]
    model: ModelShape
    spans: tuple[Span | None, ...]
    arrival_rate: float
    """λ, jobs per second."""

    def with_span(self, index: int, span: Span | None) -> Placed:
        """The same, but for the server ``index``, which hosts ``span``."""
        return replace(self, spans=(*self.spans[:index], span, *self.spans[index + 1 :]))

    def replicas(self) -> list[int]:
        """How many servers host each block."""
        return replicas(self.spans, self.model.blocks)

    def missing(self) -> frozenset[int]:
        """Blocks that no server hosts."""
        return frozenset(block for block, count in enumerate(self.replicas()) if count == 0)


@dataclass(frozen=True, slots=True, order=True)
class Forecast:
    """What a placement promises; the lesser is the better."""

    missing: int
    """Blocks that nobody hosts, or 1 if there is no cache for a single job."""
    shortfall: float
    """Share of the arriving jobs that all chains together cannot serve."""
    seconds: float
    """Lower bound on the mean response time; infinite where there is a shortfall or a block is missing."""

    def gain_over(self, other: Forecast) -> float:
        """Share of the response time that is saved against ``other``; 1 if ``other`` did not work at all."""
        if other.missing or other.shortfall:
            return 1.0 if self < other else 0.0
        if self.missing or self.shortfall:
            return 0.0
        return 1 - self.seconds / other.seconds


@dataclass(frozen=True, slots=True)
class Stay:
    """The server hosts what it hosts."""

    reason: str


@dataclass(frozen=True, slots=True)
class Move:
    """The server should host ``span`` instead."""

    span: Span
    reason: str
    """For the log: what is gained."""
    rescues: bool = False
    """Whether it is for blocks that are missing: nothing is served until they are there, so for those that the server
    leaves it is enough if another is loading them."""
    uncovers: bool = False
    """Whether blocks may be left to nobody meanwhile: only where nothing is served in any case."""


def forecast(placed: Placed) -> Forecast:
    """What jobs may expect of a placement."""
    missing = placed.missing()
    if missing:
        return Forecast(len(missing), 1.0, float("inf"))
    chains = gca(placed.servers, placed.model, placed.spans)
    rate = total_rate(chains)
    if not chains:
        return Forecast(1, 1.0, float("inf"))
    if rate <= placed.arrival_rate:
        return Forecast(0, 1 - rate / placed.arrival_rate, float("inf"))
    return Forecast(0, 0.0, response_time_bounds(chains, placed.arrival_rate).lower)


def join(placed: Placed, index: int, reserve: int) -> Span | None:
    """Which blocks a newcomer takes, with cache for ``reserve`` jobs (c); None if it cannot hold one block.

    While blocks are missing it goes on where GBP-CR's chain under construction ends (Algorithm 1, line 6); later it
    takes the place that promises the least response time.
    """
    count = _blocks_with_cache(placed, index, reserve)
    if count == 0:
        return None
    hosts = placed.with_span(index, None).replicas()
    if 0 in hosts:
        start = min(hosts.index(0), placed.model.blocks - count)
        return Span(start, start + count)
    return min(_places(placed, index, {count}), key=lambda span: (forecast(placed.with_span(index, span)), span))


def expected_reserve(servers: Sequence[Server], model: ModelShape, arrival_rate: float) -> int:
    """The c to join with: that of a plan for these servers, or for as many times as many like them as carry the rate.

    So the first servers of a swarm already leave room for the jobs that it will hold once it has grown. At least
    LEAST_RESERVE, which it is too if no number of such servers holds the model or carries the rate.
    """
    for doublings in range(MOST_DOUBLINGS + 1):
        copies = [replace(server, name=f"{server.name}/{copy}") for copy in range(2**doublings) for server in servers]
        try:
            plan = choose_reserve(copies, model, arrival_rate, candidates=_candidates(copies, model))
        except CapacityError:
            continue
        return max(plan.reserve, LEAST_RESERVE)
    return LEAST_RESERVE


def plan_for(placed: Placed) -> Plan | None:
    """What a central planner would make of these servers; None if they cannot hold the model or carry the load.

    It keeps room for LEAST_RESERVE jobs a chain if that is possible at all.
    """
    candidates = _candidates(placed.servers, placed.model)
    roomy = [reserve for reserve in candidates if reserve >= LEAST_RESERVE]
    for some in (roomy, candidates):
        try:
            return choose_reserve(placed.servers, placed.model, placed.arrival_rate, candidates=some)
        except CapacityError:
            continue
    return None


def growing(joined_at: Iterable[float], now: float) -> bool:
    """Whether so many have joined lately that what is best now will soon be another thing."""
    lately = [joined > now - CALM_SECONDS for joined in joined_at]
    return sum(lately) > GROWING_SHARE * len(lately)


def plan_seconds(joined_at: Iterable[float], now: float) -> float:
    """How long nobody is likely to come or go, from who joined within the last hour: as many go in the long run."""
    came = sum(joined > now - HOUR_SECONDS for joined in joined_at)
    return HOUR_SECONDS / (2 * came) if came else math.inf


def _candidates(servers: Sequence[Server], model: ModelShape) -> Sequence[int]:
    """Values of c to compare: all, or as many as PLANNED_SERVERS allows."""
    every = reserves(servers, model)
    most = max(FEWEST_RESERVES, PLANNED_SERVERS // len(servers))
    if len(every) <= most:
        return every
    ratio = len(every) ** (1 / (most - 1))
    return sorted({round(ratio**step) for step in range(most)})


def decide(
    placed: Placed, index: int, plan: Plan | None, load_seconds: float, plan_seconds: float = math.inf
) -> Stay | Move:
    """Whether the server ``index`` should move, now that it is its turn.

    ``plan`` is what choose_reserve() makes of the same servers, None if they cannot carry the load; ``load_seconds`` is
    how long a server is away when it moves. It never leaves a block that no other server in ``placed`` hosts, unless
    its new span holds it too: blocks that it keeps it goes on serving while it loads. A server where the plan wants it
    stays. Others take the place that promises most by itself if that is worth it, and else the plan's, if the plan as
    a whole is worth what all have to move for it, and if they get there, one in TURN_SECONDS, before it is another:
    ``plan_seconds`` is how long it is likely to stand, which is until somebody comes or goes.
    """
    here = placed.spans[index]
    wanted = placed.spans if plan is None else plan.placement.spans
    target = None if plan is None else wanted[index]
    if here is None or here == target:
        return Stay("this is where the plan wants it")
    now = forecast(placed)
    possible = 1.0 if plan is None else Forecast(0, 0.0, plan.bounds.lower).gain_over(now)
    if possible < WORTHWHILE:
        return Stay(f"the swarm is within {WORTHWHILE:.0%} of the best plan")
    cost = load_seconds / HORIZON_SECONDS / len(placed.servers)
    counts = {len(here), _blocks_with_cache(placed, index, plan.reserve if plan else 1)} - {0}
    free = [span for span in _places(placed, index, counts) if not uncovers(placed, index, span)]
    best = min(((forecast(placed.with_span(index, span)), span) for span in free), default=(now, here))
    gain = best[0].gain_over(now)
    if gain >= WORTHWHILE + cost:
        return Move(best[1], f"{best[1]} instead of {here}: {gain:.0%} faster")
    away = sum(span != other for span, other in zip(placed.spans, wanted, strict=True))
    if target is None or possible < WORTHWHILE + cost * away or uncovers(placed, index, target):
        return Stay("no move of this server is worth it")
    if away * TURN_SECONDS >= plan_seconds:
        return Stay("the best plan will be another before all have got there")
    return Move(target, f"{target} instead of {here}, as {away} servers have to move for {possible:.0%} faster")


def move_for_speed(
    placed: Placed, index: int, plan: Plan | None, joined_at: Sequence[float], load_seconds: float, now: float
) -> Stay | Move:
    """decide(), unless many have joined lately and all jobs are served; ``joined_at`` tells when each server did."""
    if plan is not None and growing(joined_at, now) and forecast(placed).seconds < math.inf:
        return Stay("the swarm is growing")
    return decide(placed, index, plan, load_seconds, plan_seconds(joined_at, now))


def uncovers(placed: Placed, index: int, span: Span) -> bool:
    """Whether a block would be left to nobody if the server went to ``span``."""
    here = placed.spans[index]
    if here is None:
        return False
    others = placed.with_span(index, None).replicas()
    return any(others[block] == 0 and block not in span for block in here.blocks())


def _blocks_with_cache(placed: Placed, index: int, reserve: int) -> int:
    """Like m_j(c), but a server too small for so many jobs still serves with one block if one job fits."""
    server, model = placed.servers[index], placed.model
    return hosted_blocks(server, model, reserve) or min(1, hosted_blocks(server, model, 1))


def _places(placed: Placed, index: int, counts: Collection[int]) -> Sequence[Span]:
    """Spans that begin where another server's end or end where another's begins: between these nobody joins."""
    blocks = placed.model.blocks
    others = [span for place, span in enumerate(placed.spans) if span is not None and place != index]
    starts = {0, *(span.end for span in others)} - {blocks}
    ends = {blocks, *(span.start for span in others)} - {0}
    places: set[Span] = set()
    for count in counts:
        firsts = {min(start, blocks - count) for start in starts} | {end - count for end in ends if end >= count}
        places |= {Span(first, first + count) for first in firsts}
    found = sorted(places - {placed.spans[index]})
    if len(found) > MOST_PLACES:
        # The blocks that the fewest servers host are where one more helps most.
        hosts = [0, *accumulate(placed.with_span(index, None).replicas())]
        found.sort(key=lambda span: ((hosts[span.end] - hosts[span.start]) / len(span), span))
    return found[:MOST_PLACES]
