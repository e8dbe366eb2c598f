"""What servers do together when blocks are missing because others vanished: at once, without waiting for turns.

Every server computes the same plan from the same snapshot and carries out its own part. The order of the servers in the
snapshot does not matter, nor does the order in which they get to it.

A record may be late: act on what was missing already when the directory was read one announcement period before. By
then the records of others that vanished at the same moment have faded too. Where servers were asked (see roll_call)
there is no need to wait.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from routing.node.moves import Move, Placed, Stay
from routing.plan.cluster import Server, hosted_blocks
from routing.plan.gbp_cr import gbp_cr
from routing.plan.reserve import reserves
from routing.span import Span

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rescue:
    """Who should host other blocks; empty if nobody need or can."""

    moves: dict[int, Span]
    """By index into the servers; all start at once."""
    last_resort: bool
    """Whether blocks are left to nobody meanwhile, which is no reason to stay: nothing is served in any case."""


def rescue(placed: Placed, movable: Collection[int] | None = None, loading: Collection[int] = ()) -> Rescue:
    """The moves that get all blocks hosted again.

    ``movable`` are the servers that may move now, by index, all if None; ``loading`` those that may later. These and
    others, like those whose owner chose the blocks, count with what they host. First it is tried without leaving any
    block to nobody, whatever the order in which the servers go: with as many blocks as each hosts now, then with more
    for some, as many as fit beside the cache of one job. Where that does not do, but the memory of the movable and the
    loading does, these start afresh as GBP-CR places them, with the largest c for which they hold the model: no job
    can be served before the last block is there, so there is nothing that an uncovered block could stop. That
    placement depends on who is there but not on where they are, so those who look later, when some have gone, go on
    with it. Where the memory does not do either, the moves are those that host most of what is missing.
    """
    if not placed.missing():
        return Rescue({}, False)
    able = set(range(len(placed.servers)) if movable is None else movable)
    most = {index: hosted_blocks(placed.servers[index], placed.model, 1) for index in sorted(able)}
    now = {index: min(count, len(placed.spans[index] or ())) for index, count in most.items()}
    for rounds in ((now, most), (most,)):
        careful = _Gaps(placed)
        for counts in rounds:
            careful.fill(counts)
        if not careful.missing.any():
            return Rescue(careful.moves, False)
    afresh = _afresh(placed, able | set(loading))
    return Rescue(careful.moves, False) if afresh is None else Rescue(afresh, True)


@dataclass(frozen=True, slots=True)
class Gap:
    """The blocks that one server sees missing, and how sure it is of that."""

    missing: frozenset[int]
    """Those that nobody hosts, less the servers that do not answer."""
    recorded: frozenset[int]
    """Those missing by the records alone, which is what everybody sees."""
    earlier: frozenset[int]
    """Those missing when it looked before."""

    @property
    def faded(self) -> bool:
        """Whether everybody sees it: one announcement may be late, so not at the first look."""
        return bool(self.recorded and self.earlier)

    @property
    def certain(self) -> bool:
        """Whether it is time to act."""
        return self.faded or self.missing != self.recorded

    def part_of(self, index: int, here: Span | None, plan: Rescue) -> Stay | Move:
        """What the server ``index``, which hosts ``here``, does of a plan for those who answer."""
        if plan.last_resort and not self.faded:
            # Others may reach whom this server cannot, and go on: it must not leave blocks to nobody by itself.
            return Stay("all would have to start afresh, but the records of those that do not answer have not faded")
        span = plan.moves.get(index)
        if span is None or span == here:
            return Stay("others take the blocks that are missing, or nobody can")
        reason = f"{span} instead of {here}: blocks are missing"
        afresh = ", and all start afresh" if plan.last_resort else ""
        return Move(span, reason + afresh, rescues=True, uncovers=plan.last_resort)


def _afresh(placed: Placed, able: Collection[int]) -> dict[int, Span] | None:
    """Where GBP-CR places these servers, with the largest c for which they hold all blocks; None if there is none."""
    by_name = sorted(able, key=lambda index: placed.servers[index].name)
    servers = [placed.servers[index] for index in by_name]
    reserve = _largest_reserve(placed, servers)
    if reserve == 0:
        return None
    spans = gbp_cr(servers, placed.model, reserve).spans
    return {
        index: span
        for index, span in zip(by_name, spans, strict=True)
        if span is not None and span != placed.spans[index]
    }


def _largest_reserve(placed: Placed, servers: Sequence[Server]) -> int:
    """The largest c for which these servers hold all blocks, which is when a chain of GBP-CR is full; 0 if none."""
    model = placed.model
    low, high = 0, reserves(servers, model)[-1] if servers and reserves(servers, model) else 0
    while low < high:
        middle = (low + high + 1) // 2
        if sum(hosted_blocks(server, model, middle) for server in servers) >= model.blocks:
            low = middle
        else:
            high = middle - 1
    return low


class _Gaps:
    """The blocks that are missing while servers move to fill them, one after the other.

    What a server leaves counts as gone, what it goes to as not yet there for whoever relies on it, and what it keeps
    as served all along: so the moves may happen in any order.
    """

    def __init__(self, placed: Placed) -> None:
        self._placed = placed
        self._blocks = placed.model.blocks
        self._hosts = np.array(placed.replicas(), dtype=np.int64)
        self.missing = self._hosts == 0
        self.moves: dict[int, Span] = {}

    def fill(self, counts: dict[int, int]) -> None:
        """Move whoever covers most of what is missing until nobody can; ``counts`` gives each server's blocks there."""
        able = sorted((index for index in counts if counts[index] and index not in self.moves), key=self._lot)
        here = [self._placed.spans[index] for index in able]
        size = np.array([counts[index] for index in able], dtype=np.int64)
        start = np.array([span.start if span else 0 for span in here], dtype=np.int64)
        end = np.array([span.end if span else 0 for span in here], dtype=np.int64)
        waiting = np.ones(len(able), dtype=bool)
        while self.missing.any() and able:
            firsts = self._candidates(start, end, size)
            gains = np.where(waiting[:, None], self._gains(firsts, start, end, size), 0)
            place, column = divmod(int(gains.argmax()), gains.shape[1])
            if gains[place, column] == 0:
                break
            waiting[place] = False
            first = int(firsts[place, column])
            self._go(able[place], here[place], Span(first, first + int(size[place])))

    def _lot(self, index: int) -> tuple[bytes, str]:
        """Who goes first of those who do equally well: at all times the same, so that a plan carried out in part is
        gone on with, and by no order that also tells of speed or place."""
        name = self._placed.servers[index].name
        return blake2b(name.encode(), digest_size=8).digest(), name

    def _candidates(self, start: _Ints, end: _Ints, size: _Ints) -> _Ints:
        """First blocks to consider, [servers, candidates]: what fits a gap, or goes on from what a server must keep."""
        edges = np.diff(self.missing.astype(np.int64), prepend=0, append=0)
        columns = [np.broadcast_to(first, size.shape) for first in np.flatnonzero(edges == 1)]
        columns += [last - size for last in np.flatnonzero(edges == -1)]
        alone = np.flatnonzero(self._hosts == 1)
        if alone.size:
            next_alone = alone[np.minimum(np.searchsorted(alone, start), alone.size - 1)]
            last_alone = alone[np.maximum(np.searchsorted(alone, end) - 1, 0)]
            columns += [next_alone, last_alone + 1 - size]
        return np.clip(np.stack(columns, axis=1), 0, (self._blocks - size)[:, None])

    def _gains(self, firsts: _Ints, start: _Ints, end: _Ints, size: _Ints) -> _Ints:
        """Missing blocks that each candidate covers, 0 if it would leave a block to nobody."""
        missing = np.concatenate([[0], np.cumsum(self.missing)])
        alone = np.concatenate([[0], np.cumsum(self._hosts == 1)])
        lasts = firsts + size[:, None]
        kept_from = np.maximum(firsts, start[:, None])
        kept_to = np.maximum(np.minimum(lasts, end[:, None]), kept_from)
        # Nobody else hosts what is alone within a server's span, so all of it has to be within what the server keeps.
        keeps_all = alone[kept_to] - alone[kept_from] == (alone[end] - alone[start])[:, None]
        return np.where(keeps_all, missing[lasts] - missing[firsts], 0)

    def _go(self, index: int, here: Span | None, there: Span) -> None:
        there = self._trimmed(here, there)
        self.moves[index] = there
        self.missing[there.start : there.end] = False
        for block in here.blocks() if here is not None else ():
            if block not in there:
                self._hosts[block] -= 1

    def _trimmed(self, here: Span | None, there: Span) -> Span:
        """``there`` without blocks at its ends that nobody needs from this server, but no shorter than ``here``."""
        least = len(here) if here is not None else 1
        needed = [
            block
            for block in there.blocks()
            if self.missing[block] or (self._hosts[block] == 1 and here is not None and block in here)
        ]
        spare = max(len(there) - max(least, needed[-1] + 1 - needed[0]), 0)
        at_end = min(spare, there.end - 1 - needed[-1])
        return replace(there, start=there.start + spare - at_end, end=there.end - at_end)
