"""Peers on loopback that answer what a node answers before a session is opened: no engine, no weights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from dht import Peer, Stream
from routing import NodeView, Span
from swarm_node.node.promises import Promises
from swarm_node.node.reception import Reception, Served
from swarm_node.wire.messages import SESSION_PROTOCOL
from tests.dht.peers import local_peer, view_of

MODEL = "model"


class Member:
    """A peer that serves some blocks and keeps its promises."""

    def __init__(self, peer: Peer, span: Span) -> None:
        self.peer = peer
        self.promises = Promises(peer, MODEL)
        self.view: NodeView = view_of(peer, span=span)
        self._reception = Reception(Served(MODEL, MODEL, span, 1), self.promises)

    async def serve(self, stream: Stream) -> None:
        await self._reception.welcome(stream)

    async def may_leave(self, *others: Member) -> bool:
        return await self.promises.may_leave([self.view.span], [other.view for other in others])


@asynccontextmanager
async def members(tmp_path: Path, spans: Sequence[Span]) -> AsyncIterator[list[Member]]:
    async with local_peer(tmp_path / "0.key") as first, trio.open_nursery() as nursery:
        made = []
        async with trio.open_nursery() as peers:

            async def join(number: int, task_status: trio.TaskStatus[Peer]) -> None:
                path = tmp_path / f"{number}.key"
                async with local_peer(path, initial_peers=first.addresses) as peer:
                    task_status.started(peer)
                    await trio.sleep_forever()

            for number, span in enumerate(spans):
                peer: Peer = first if number == 0 else await peers.start(join, number)
                made.append(Member(peer, span))
                await nursery.start(peer.serve, SESSION_PROTOCOL, made[-1].serve)
            yield made
            nursery.cancel_scope.cancel()
            peers.cancel_scope.cancel()
