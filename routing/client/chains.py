"""The fastest chain of nodes for one session, from one snapshot."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from routing.coordinates import Places
from routing.errors import BlocksNotCovered, CacheFull
from routing.settings import LINK_HANDLING_SECONDS, NEAR_EQUAL
from routing.snapshot import NodeView, Snapshot
from routing.span import Span, describe_blocks

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hop:
    """One node's part of a chain: ``span`` is what it processes, not all that it hosts."""

    node: NodeView
    span: Span


@dataclass(frozen=True, slots=True)
class SessionShape:
    """How long a session is, as far as its client knows."""

    prompt_tokens: int
    """Tokens that go through the chain at once, at the beginning."""
    max_tokens: int
    """Tokens of cache that it reserves in every block: prompt and answer."""
    token_bytes: int = 0
    """Of one token's hidden state on its way between two nodes; 0 leaves bandwidth out of account."""
    prefix_keys: bytes = b""
    """Names of what it begins with, for nodes that hold some of it. They mean nothing here."""

    @property
    def passes(self) -> int:
        """How often something goes round the ring: once for each token of the answer."""
        return max(1, self.max_tokens - self.prompt_tokens)


def fastest_chain(
    snapshot: Snapshot,
    blocks: int,
    session: SessionShape,
    client_delay: Callable[[NodeView], float],
    excluded: Collection[str] = (),
    rng: random.Random | None = None,
    doubted: Collection[str] = (),
) -> tuple[Hop, ...]:
    """The chain over all ``blocks`` that serves the session in the least time, of those with free cache for it.

    This is what joining the fastest free chain comes to for one job (arXiv 2604.14993, Algorithm 3): over the chains of
    Algorithm 2 or over all of them, the same chain is taken (Theorem 3), and whether it is free is seen from the free
    cache of its nodes. A block is processed by the first node on the chain that hosts it, and a node once entered is
    used to its end (section 2.1), so the ways into a node are the nodes that end within its span, and one pass over
    the nodes by their ends finds the shortest path in O(J²) for J nodes, by rows of numpy.

    A session's time on a chain is the delay of every link, once for each token of the answer, the prompt's way through
    the narrower end of every link, and each node's compute time for prompt and answer and for the prompts that it has
    yet to compute (see Backlog; the paper's servers do not slow down under several jobs). Delays between nodes are told
    from their coordinates; ``client_delay`` gives those between the client and a node, in seconds one way. A node is
    left out when its advertised free cache does not hold the session for the blocks it would process, or when its peer
    id is in ``excluded``. With ``rng`` it is one of those whose times differ by less than NEAR_EQUAL. That a node in
    ``doubted`` is full is not believed: it is worth asking if the chain is faster by more than the round trip for that.

    Raises BlocksNotCovered (naming the blocks) if no online node hosts them, CacheFull if nodes do but are full.
    """
    nodes = sorted(
        (node for node in snapshot.online() if node.peer_id not in excluded and node.span.start < blocks),
        key=lambda node: (node.span.end, node.peer_id),
    )
    if nodes:
        ways = _Ways(nodes, blocks, session, client_delay, rng, doubted)
        arrived = ways.fastest()
        if arrived is not None:
            return _walk_back(nodes, ways, arrived)
    raise _why_not(Snapshot(snapshot.model, tuple(nodes), snapshot.taken_at), blocks, session.max_tokens)


class _Costs:
    """What a session takes on each of some nodes and on the ways between them, in seconds; nodes are known by index.

    ``luck`` stretches each node's times, but for the prompts that it has yet to compute.
    """

    def __init__(
        self,
        nodes: Sequence[NodeView],
        session: SessionShape,
        client_delay: Callable[[NodeView], float],
        luck: _Floats | float = 1.0,
    ) -> None:
        passes = session.passes
        self._work = luck * np.array(
            [node.prefill_seconds * session.prompt_tokens + node.decode_seconds * passes for node in nodes]
        )
        self._per_link = luck * np.full(len(nodes), passes)
        self.client = np.array([client_delay(node) for node in nodes])
        """One way between the client and each node."""
        # Prompts are computed in the order in which they come.
        self.before = np.array([node.prefill_seconds * node.backlog_tokens for node in nodes])
        """What each node does first."""
        self._places = Places([node.coordinate for node in nodes])
        prompt_bytes = session.prompt_tokens * session.token_bytes
        self._upload = np.array([prompt_bytes / (node.upload_rate or np.inf) for node in nodes])
        self._download = np.array([prompt_bytes / (node.download_rate or np.inf) for node in nodes])

    def first(self, node: int, blocks: int) -> float:
        """From the client to ``node`` and through so many of its blocks."""
        return float(self._through(node, self.client[node], blocks) + self._download[node])

    def next(self, before: slice, node: int, blocks: _Ints | int) -> _Floats:
        """From each of the nodes ``before`` to ``node`` and through so many of its blocks."""
        cost = self._through(node, self._places.one_way(before, node), blocks)
        cost += np.maximum(self._upload[before], self._download[node])
        return cost

    def back(self, last: slice) -> _Floats:
        """From each of the nodes ``last`` to the client."""
        back: _Floats = self.client[last] * self._per_link[last]
        return back

    def _through(self, node: int, delay: _Floats, blocks: _Ints | int) -> _Floats:
        cost: _Floats = (delay + LINK_HANDLING_SECONDS) * self._per_link[node] + self._work[node] * blocks
        cost += self.before[node]
        return cost


class _Ways:
    """The cheapest way from the client to the end of each node."""

    def __init__(
        self,
        nodes: Sequence[NodeView],
        blocks: int,
        session: SessionShape,
        client_delay: Callable[[NodeView], float],
        rng: random.Random | None,
        doubted: Collection[str],
    ) -> None:
        self.ends = np.array([min(node.span.end, blocks) for node in nodes])
        self.came_from = [-1] * len(nodes)
        """The node before; -1 for the client."""
        self._blocks = blocks
        self._starts = np.array([node.span.start for node in nodes])
        # The blocks that the session fits into here.
        free = np.array([node.free_tokens // node.session_tokens(session.max_tokens) for node in nodes])
        full = free < self.ends - self._starts
        asked = full & np.array([node.peer_id in doubted for node in nodes])
        empty = [node.cache_tokens // node.session_tokens(session.max_tokens) for node in nodes]
        self._room = np.where(asked, empty, free)
        luck = np.array([1 + NEAR_EQUAL * rng.random() if rng else 1.0 for _ in nodes])
        self._costs = _Costs(nodes, session, client_delay, luck)
        # A round trip for nothing, if it is full after all.
        self._costs.before += np.where(asked, 2 * self._costs.client, 0.0)

    def fastest(self) -> int | None:
        """The last node of the fastest chain; None if there is no chain."""
        seconds: _Floats = np.full(len(self.ends), np.inf)
        for node, (start, end) in enumerate(zip(self._starts, self.ends, strict=True)):
            if start == 0 and self._room[node] >= end:
                seconds[node] = self._costs.first(node, end)
            first, last = np.searchsorted(self.ends, (max(start, end - self._room[node]), end))
            if first < last:
                before = slice(first, last)
                entries = self._costs.next(before, node, end - self.ends[before])
                entries += seconds[before]
                best = int(entries.argmin())
                if entries[best] < seconds[node]:
                    seconds[node] = entries[best]
                    self.came_from[node] = int(first) + best
        first = int(np.searchsorted(self.ends, self._blocks))
        if first == len(seconds):
            return None
        seconds[first:] += self._costs.back(slice(first, None))
        last = first + int(seconds[first:].argmin())
        return None if np.isinf(seconds[last]) else last


def expected_seconds(hops: Sequence[Hop], session: SessionShape, client_delay: Callable[[NodeView], float]) -> float:
    """What fastest_chain() makes least: a session's time on these hops, without luck, if they have room."""
    costs = _Costs([hop.node for hop in hops], session, client_delay)
    last = len(hops) - 1
    seconds = costs.first(0, len(hops[0].span)) + costs.back(slice(last, None)).item()
    for place in range(1, len(hops)):
        seconds += costs.next(slice(place - 1, place), place, len(hops[place].span)).item()
    return float(seconds)


def _walk_back(nodes: Sequence[NodeView], ways: _Ways, last: int) -> tuple[Hop, ...]:
    hops: list[Hop] = []
    node = last
    while node >= 0:
        before = ways.came_from[node]
        start = int(ways.ends[before]) if before >= 0 else 0
        hops.append(Hop(nodes[node], Span(start, int(ways.ends[node]))))
        node = before
    return tuple(reversed(hops))


def _why_not(usable: Snapshot, blocks: int, session_tokens: int) -> BlocksNotCovered | CacheFull:
    missing = usable.missing(blocks)
    if missing:
        return BlocksNotCovered(
            f"no node serves blocks {describe_blocks(missing)} of {blocks}; start one with --blocks"
        )
    return CacheFull(f"every chain is full: no free cache for a session of {session_tokens} tokens; try again later")
