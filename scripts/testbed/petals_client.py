"""Sessions routed as PETALS does it: the shortest path by its own costs, and retry with back-off where it is refused.

Only the decisions are PETALS's. Nodes, streams and the ring that data takes are this project's, and so is the age of
what a client knows: 5 s at most, where PETALS reads records every minute. Distances are known exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import trio

from paper.settings import HANDLING_SECONDS
from routing import Hop, NodeView, SessionShape, Span
from routing.errors import BlocksNotCovered, ChainBroken
from routing.simulation.petals import FULL_SERVER_SECONDS, back_off_seconds
from swarm_node.client.chain import Chain
from swarm_node.client.chains import Chains
from testbed.watched_client import Asked, WatchedSession

Delay = Callable[[str | None, str | None], float]
"""Seconds one way between two peer ids; None is the client."""


class PetalsSession(WatchedSession):
    """See the module."""

    def __init__(self, chains: Chains, max_tokens: int, timeout: float, request: Asked, delay: Delay) -> None:
        super().__init__(chains, max_tokens, timeout, request)
        self._delay = delay

    async def choose_chain(self, shape: SessionShape, until: float) -> Chain:
        """Raises ChainBroken or BlocksNotCovered if the next attempt would come after ``until``."""
        chains, attempts = self._chains, 0
        while True:
            try:
                online = (await chains.snapshot()).online()
                path = shortest_path(online, chains.card.blocks, shape.max_tokens, self._delay)
                return await chains.start(path, shape, {})
            except (ChainBroken, BlocksNotCovered):
                attempts += 1
                self.request.refusals += 1
                pause = back_off_seconds(attempts)
                if trio.current_time() + pause > until:
                    raise
                await trio.sleep(pause)


def shortest_path(nodes: Sequence[NodeView], blocks: int, max_tokens: int, delay: Delay) -> tuple[Hop, ...]:
    """The way of least cost for a token (arXiv 2604.14993, section 5, and client/routing/sequence_manager.py there).

    Half a round trip on each link, HANDLING_SECONDS and the time of its blocks for each server, and FULL_SERVER_SECONDS
    for one whose free cache does not hold the session on *all* blocks that it hosts. A server once entered is used to
    its end. Raises BlocksNotCovered.
    """
    hosts = sorted(nodes, key=lambda node: (node.span.end, node.peer_id))
    costs = [math.inf] * len(hosts)
    entered: list[tuple[int, int]] = [(-1, 0)] * len(hosts)
    """For each server the one before, and the block at which it is entered."""
    for index, node in enumerate(hosts):
        full = FULL_SERVER_SECONDS if node.free_tokens < max_tokens * len(node.span) else 0.0
        ways = [(0.0, -1, 0)] if node.span.start == 0 else []
        ways += [(costs[before], before, hosts[before].span.end) for before in range(index)]
        for cost, before, start in ways:
            if not node.span.start <= start < node.span.end:
                continue
            link = delay(hosts[before].peer_id if before >= 0 else None, node.peer_id)
            total = cost + link + HANDLING_SECONDS + full + (node.span.end - start) * node.decode_seconds
            if total < costs[index]:
                costs[index], entered[index] = total, (before, start)
    last = [index for index, node in enumerate(hosts) if node.span.end >= blocks and costs[index] < math.inf]
    if not last:
        raise BlocksNotCovered("no chain of servers leads through all blocks")
    index = min(last, key=lambda index: costs[index] + delay(hosts[index].peer_id, None))
    hops: list[Hop] = []
    while index >= 0:
        before, start = entered[index]
        hops.append(Hop(hosts[index], Span(start, hosts[index].span.end)))
        index = before
    return tuple(reversed(hops))
