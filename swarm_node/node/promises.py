"""Nodes that rely on each other: who leaves blocks asks others first to stay on them."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from dht import Peer
from routing import NodeView, Span
from routing.errors import SwarmError
from swarm_node.node.settings import PROMISERS
from swarm_node.settings import PROMISE_SECONDS
from swarm_node.wire import Relied, Rely, ask

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Promise:
    span: Span
    until: float


class Promises:
    """What this node has promised to others, and how it asks for theirs; kept for as long as the node serves.

    A snapshot is seconds old, so two nodes may each believe that the other stays. A promise is binding, and who is
    leaving blocks promises nothing for them; so at least one of the two stays. Half of the other hosts of a block must
    promise: no more than about half of its hosts are ever away at the same time.
    """

    def __init__(self, peer: Peer, model: str) -> None:
        self._peer = peer
        self._model = model
        self._given: list[_Promise] = []
        self._leaving: tuple[Span, ...] = ()

    def answer(self, asked: Rely, serving: Span | None) -> Relied:
        """Promise to stay on those of the blocks that this node serves, unless it is leaving some of them itself."""
        promised: Span | None = None
        if asked.model == self._model and serving is not None and asked.start < asked.end:
            promised = serving.common(Span(asked.start, asked.end))
        if promised is None or any(promised.common(span) for span in self._leaving):
            return Relied(start=asked.start, end=asked.start)
        self._given.append(_Promise(promised, trio.current_time() + PROMISE_SECONDS))
        return Relied(start=promised.start, end=promised.end)

    def stop_leaving(self) -> None:
        """The move is over: from now on promises are given again."""
        self._leaving = ()

    async def may_leave(self, leaving: Sequence[Span], nodes: Sequence[NodeView], loading: Sequence[Span] = ()) -> bool:
        """Ask the hosts among ``nodes``; if they will do, this node counts as leaving until ``stop_leaving``.

        For blocks of ``loading`` no promise is needed: others are about to serve them, and may be waited for.
        """
        now = trio.current_time()
        self._given = [promise for promise in self._given if promise.until > now]
        if any(promise.span.common(span) for promise in self._given for span in leaving):
            return False
        self._leaving = tuple(leaving)
        try:
            granted = [await self._covered(span, nodes, loading) for span in leaving]
        except BaseException:
            self._leaving = ()
            raise
        if not all(granted):
            self._leaving = ()
        return all(granted)

    async def _covered(self, span: Span, nodes: Sequence[NodeView], loading: Sequence[Span]) -> bool:
        hosts = [node for node in nodes if node.span.common(span)]
        asked = random.sample(hosts, min(len(hosts), PROMISERS))
        promised: Counter[int] = Counter()

        async def look(node: NodeView) -> None:
            try:
                rely = Rely(model=self._model, start=span.start, end=span.end)
                answer = await ask(self._peer, node.peer_id, node.addresses, rely, Relied, "did not promise anything")
            except SwarmError as error:
                log.debug("node %s promises nothing: %s", node.peer_id, error)
                return
            promised.update(range(max(answer.start, span.start), min(answer.end, span.end)))

        async with trio.open_nursery() as nursery:
            for node in asked:
                nursery.start_soon(look, node)
        return all(
            any(block in other for other in loading)
            or promised[block] >= max(1, sum(block in node.span for node in asked) / 2)
            for block in span.blocks()
        )
