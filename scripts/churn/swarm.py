"""A swarm played in memory: servers announce themselves, look at the others, move, leave and vanish.

What they decide is what ``routing`` decides; what they know is what the records of the others say, late and sometimes
lost, and whether these answer. Loading blocks takes LOAD_SECONDS, meanwhile a server serves the blocks that it had
before and keeps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import lru_cache, reduce
from heapq import heappop, heappush
from itertools import count
from operator import or_

from churn.member import USUAL_PACE, Member, Pace
from churn.roll_call import ask
from routing.node.moves import Move, Placed, Stay, forecast, move_for_speed, plan_for
from routing.node.rescue import Gap, Rescue, rescue
from routing.plan.cluster import ModelShape, Server, hosted_blocks
from routing.plan.reserve import Plan
from routing.settings import HOUR_SECONDS, TURN_SECONDS
from routing.span import Span
from swarm_node.node.settings import DRAIN_SECONDS, LOAD_SECONDS

LOST = 0.05
"""Share of the announcements that nobody gets."""


class Why(Enum):
    """What a server moves for."""

    SPEED = auto()
    RESCUE = auto()
    FRESH_START = auto()


@dataclass(slots=True)
class Counts:
    """What the servers did."""

    moves: dict[Why, int] = field(default_factory=lambda: dict.fromkeys(Why, 0))
    needless: int = 0
    """Moves to rescue though all blocks were hosted: a record was late, and its server not reached."""
    refused: int = 0
    """Moves that did not happen, as the others, asked, did not host what would have been left."""
    uncovered: int = 0
    """Blocks that a move left to nobody, fresh starts apart."""


@dataclass(slots=True)
class Swarm:
    """Servers, their records and the clock; ``advance`` lets time pass.

    ``changed`` is called after everything that changes what is served.
    """

    model: ModelShape
    arrival_rate: float
    draw: random.Random
    pace: Pace = USUAL_PACE
    apart: float = 0.0
    """Share of the pairs of servers that never reach each other."""
    changed: Callable[[], None] = lambda: None
    now: float = 0.0
    present: list[Member] = field(default_factory=list)
    """Also those that drain."""
    counts: Counts = field(default_factory=Counts)
    _ghosts: list[Member] = field(default_factory=list)
    """Vanished, with a record that has not faded."""
    _recorded: int = 0
    """Blocks that some record names which is not overdue, as bits."""
    _recorded_until: float = float("-inf")
    """When that has to be found out again."""
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)

    def at(self, when: float, action: Callable[[], None]) -> None:
        heappush(self._events, (when, next(self._order), action))

    def advance(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heappop(self._events)
            action()
        self.now = until

    def add(self, server: Server, span: Span, loaded: bool = False) -> Member:
        """A newcomer that loads ``span``, or has hosted it for long."""
        began = self.now - (HOUR_SECONDS + LOAD_SECONDS if loaded else 0)
        member = Member(server, span, None, began + LOAD_SECONDS, began)
        self.present.append(member)
        self._announce(member)
        self.at(self.now + self.draw.uniform(0, self.pace.announce), lambda: self._announce_again(member))
        self.at(self.now + self.draw.uniform(0, self.pace.look), lambda: self._look(member))
        if not loaded:
            self.at(member.loaded_at, self.changed)
        self.changed()
        return member

    def vanish(self, member: Member) -> None:
        """It crashes: only its record tells of it, until that fades."""
        if member in self.present:
            self.present.remove(member)
            self._ghosts = [ghost for ghost in self._ghosts if ghost.expires > self.now]
            if not member.leaving:
                self._ghosts.append(member)
            self.changed()

    def drain(self, member: Member) -> None:
        """It leaves in an orderly way: everybody knows at once, and it serves on for DRAIN_SECONDS."""
        member.leaving, member.expires, self._recorded_until = True, self.now, self.now
        self.at(self.now + DRAIN_SECONDS, lambda: self.vanish(member))

    def turns(self) -> None:
        """From now on it is one server's turn to move for speed every TURN_SECONDS."""
        self.at(self.now + TURN_SECONDS, self._draw_turn)

    def staying(self) -> list[Member]:
        return [member for member in self.present if not member.leaving]

    def served(self) -> Placed:
        """Who serves what in truth."""
        return self._placed(self.present, [member.serves(self.now) for member in self.present])

    def claimed(self) -> Placed:
        """Who hosts or loads what in truth."""
        return self._placed(self.staying(), [member.span for member in self.staying()])

    def seen_by(self, member: Member) -> tuple[list[Member], Placed]:
        """Whose records there are, and what these say; a server knows itself as it is, and comes last."""
        others = [other for other in (*self.present, *self._ghosts) if other.expires > self.now and other is not member]
        return [*others, member], self._placed((*others, member), [*(o.recorded for o in others), member.span])

    def _placed(self, members: Sequence[Member], spans: Sequence[Span | None]) -> Placed:
        return Placed(tuple(member.server for member in members), self.model, tuple(spans), self.arrival_rate)

    def _announce(self, member: Member) -> None:
        if self.draw.random() >= LOST:
            if member.recorded != member.span:
                self._recorded_until = self.now
            member.recorded, member.record_loaded_at = member.span, member.loaded_at
            member.expires = self.now + self.pace.record

    def _announce_again(self, member: Member) -> None:
        if member in self.present and not member.leaving:
            self._announce(member)
            self.at(self.now + self.pace.announce, lambda: self._announce_again(member))

    def _look(self, member: Member) -> None:
        """Move at once if blocks are missing: since this server looked before, or without those who do not answer."""
        if member not in self.present or member.leaving:
            return
        seconds = 0.0
        if self._seems_missing(member):
            seen, placed = self.seen_by(member)
            loads = frozenset(place for place, other in enumerate(seen) if other.record_loaded_at > self.now)
            gone, seconds = ask(
                seen,
                placed.spans,
                self.model.blocks,
                self.now + self.pace.record - self.pace.overdue,
                lambda other: other not in self.present and self._has_reached(member, other),
            )
            self.at(self.now + seconds, lambda: self._rescue(member, placed, gone, loads))
        else:
            member.missed = frozenset()
        self.at(self.now + max(seconds, self.pace.look), lambda: self._look(member))

    def _has_reached(self, member: Member, other: Member) -> bool:
        """It measures the way to one at each look, and so in the end to all that it reaches."""
        together = self.now - max(member.joined_at, other.joined_at)
        return together >= len(self.present) * self.pace.look and not _apart(member, other, self.apart)

    def _rescue(self, member: Member, placed: Placed, gone: frozenset[int], loads: frozenset[int]) -> None:
        """Do what a node does while blocks are missing; ``gone`` and ``loads`` by index into the servers."""
        recorded = placed.missing()
        if not recorded and not gone:  # as nearly always: somebody was late
            member.missed = frozenset()
            return
        there = [place for place in range(len(placed.servers)) if place not in gone]
        left = replace(
            placed,
            servers=tuple(placed.servers[place] for place in there),
            spans=tuple(placed.spans[place] for place in there),
        )
        gap = Gap(left.missing(), recorded, member.missed)
        member.missed = gap.missing
        if not gap.certain:
            return
        if member not in self.present or member.leaving or member.loaded_at > self.now:
            return
        loading = frozenset(index for index, place in enumerate(there) if place in loads)
        plan = _rescue(left, frozenset(range(len(there))) - loading, loading)
        self._move(member, gap.part_of(len(there) - 1, member.span, plan))

    def _seems_missing(self, member: Member) -> bool:
        """Whether missing() would find any but for overdue records; quick, as it is asked every few seconds."""
        if self.now >= self._recorded_until:
            early = self.pace.record - self.pace.overdue
            records = [other for other in (*self.present, *self._ghosts) if other.expires > self.now + early]
            self._recorded = reduce(or_, (_bits(other.recorded) for other in records if other.recorded), 0)
            self._recorded_until = min((other.expires - early for other in records), default=self.now)
        return self._recorded | _bits(member.span) != (1 << self.model.blocks) - 1

    def _draw_turn(self) -> None:
        self.at(self.now + TURN_SECONDS, self._draw_turn)
        if self.staying():
            self.turn(self.draw.choice(self.staying()))

    def turn(self, member: Member) -> bool:
        """Let a server move for speed, unless blocks are missing or many have just joined; says whether it does."""
        seen, placed = self.seen_by(member)
        if member.loaded_at > self.now or forecast(placed).missing:
            return False
        joined_at = [other.joined_at for other in seen]
        return self._move(
            member, move_for_speed(placed, len(seen) - 1, plan_of(placed), joined_at, LOAD_SECONDS, self.now)
        )

    def _move(self, member: Member, decision: Stay | Move) -> bool:
        """Begin to load other blocks if it is to and the others, asked now, host what would be left.

        While blocks are missing nothing is served, so it is enough if another loads it. Who starts afresh does not ask.
        """
        if isinstance(decision, Stay):
            return False
        span, claimed = decision.span, decision.rescues
        why = Why.FRESH_START if decision.uncovers else Why.RESCUE if claimed else Why.SPEED
        others = [other for other in self.staying() if other is not member]
        held = [other.span if claimed else other.serves(self.now) for other in others]
        left = [block for block in member.span.blocks() if block not in span]
        if why is not Why.FRESH_START and not all(any(one and block in one for one in held) for block in left):
            self.counts.refused += 1
            return False
        self.counts.needless += claimed and not self.claimed().missing()
        before = (self.claimed() if claimed else self.served()).missing()
        member.before, member.span, member.loaded_at = member.span, span, self.now + LOAD_SECONDS
        if why is not Why.FRESH_START:
            self.counts.uncovered += len((self.claimed() if claimed else self.served()).missing() - before)
        self.counts.moves[why] += 1
        self._announce(member)
        self.at(member.loaded_at, self.changed)
        self.changed()
        return True


def placed_by_plan(
    model: ModelShape, servers: Sequence[Server], rate: float, seed: int, pace: Pace = USUAL_PACE, apart: float = 0.0
) -> Swarm:
    """A swarm that has long been where the central plan wants it."""
    plan = plan_of(Placed(tuple(servers), model, (None,) * len(servers), rate))
    swarm = Swarm(model, rate, random.Random(seed), pace, apart)
    for server, span in zip(servers, plan.placement.spans if plan else (), strict=True):
        if span is not None:
            swarm.add(server, span, loaded=True)
    return swarm


def suffices(swarm: Swarm) -> bool:
    """Whether those who stay could hold the model with the cache of one job."""
    held = sum(hosted_blocks(member.server, swarm.model, 1) for member in swarm.staying())
    return held >= swarm.model.blocks


@lru_cache(maxsize=64)
def _rescue(placed: Placed, movable: frozenset[int], loading: frozenset[int]) -> Rescue:
    return rescue(placed, movable, loading)


@lru_cache(maxsize=4096)
def _apart(one: Member, other: Member, share: float) -> bool:
    """Whether this pair is one of the ``share`` of all that never reach each other."""
    return random.Random("|".join(sorted((one.server.name, other.server.name)))).random() < share


@lru_cache(maxsize=4096)
def _bits(span: Span) -> int:
    return (1 << span.end) - (1 << span.start)


def plan_of(placed: Placed) -> Plan | None:
    """The central plan, made once for the same servers."""
    order = sorted(range(len(placed.servers)), key=lambda index: placed.servers[index].name)
    plan = _plan(tuple(placed.servers[index] for index in order), placed.model, placed.arrival_rate)
    if plan is None:
        return None
    spans = dict(zip(order, plan.placement.spans, strict=True))
    placement = replace(plan.placement, spans=tuple(spans[index] for index in range(len(order))))
    return replace(plan, placement=placement)


@lru_cache(maxsize=256)
def _plan(servers: tuple[Server, ...], model: ModelShape, arrival_rate: float) -> Plan | None:
    return plan_for(Placed(servers, model, (None,) * len(servers), arrival_rate))
