"""Carries out a node's moves to other blocks, without losing what it serves and without tearing a hole."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import trio

from routing import NodeState, Span
from routing.errors import ModelError
from routing.node.moves import Move
from swarm_node.compute import HostedBlocks
from swarm_node.engine import Engine
from swarm_node.node.host import SessionHost
from swarm_node.node.lookout import Lookout
from swarm_node.node.placement import hosting
from swarm_node.node.promises import Promises
from swarm_node.node.settings import DRAIN_SECONDS
from swarm_node.node.view import OwnView
from swarm_node.tasks import in_thread

log = logging.getLogger(__name__)


class Mover:
    """One node's moves, for as long as one engine serves it.

    Owned by the node; ``run`` ends when the node keeps nothing of what it hosts.
    """

    def __init__(
        self,
        lookout: Lookout,
        promises: Promises,
        engine: Engine,
        host: SessionHost,
        own: OwnView,
        fetch: Callable[[Span], None],
        load: Callable[[Span], HostedBlocks],
    ) -> None:
        """``fetch`` and ``load`` are those of a HostedModel; they run in a thread."""
        self._lookout = lookout
        self._promises = promises
        self._engine = engine
        self._host = host
        self._own = own
        self._fetch = fetch
        self._load = load

    async def run(self) -> None:
        """Move whenever it pays, and serve the blocks that the old and the new span share all along.

        Returns when there are none, once no session is left: the node's view then has the blocks to load.
        """
        while True:
            move = await self._lookout.next_move()
            here = self._own.now.span
            try:
                if not await self._prepared(here, move):
                    continue
                log.warning("moving to %s", move.reason)
                kept = here.common(move.span)
                if kept is None:
                    self._own.update(state=NodeState.LOADING, span=move.span)
                    self._host.serve_span(None)
                    await self._empty(None)
                    return
                await self._move(kept, move.span)
            finally:
                self._promises.stop_leaving()

    async def _prepared(self, here: Span, move: Move) -> bool:
        """Whether others stay on what this node leaves, and the weights of what it goes to are on this machine."""
        others = [node for node in self._lookout.snapshot.claiming() if node.peer_id != self._own.now.peer_id]
        online = [node for node in others if node.state is NodeState.ONLINE]
        loading = [node.claim for node in others if node not in online or node.target] if move.rescues else []
        if not move.uncovers and not await self._promises.may_leave(here.without(move.span), online, loading):
            log.info("not moving to %s: nobody else promises to stay", move.reason)
            return False
        try:
            for piece in move.span.without(here):
                await in_thread(partial(self._fetch, piece))
        except ModelError as error:
            log.warning("not moving to %s: %s", move.span, error)
            return False
        return True

    async def _move(self, kept: Span, there: Span) -> None:
        # From here on no session is let in that would not fit beside the weights to come.
        self._engine.resize(hosting(self._own.now, there).cache_tokens)
        self._host.serve_span(kept)
        self._serve(kept, there)
        await self._empty(kept)
        await self._engine.change_blocks(lambda blocks: blocks.keep(kept))
        for piece in there.without(kept):
            loaded = await in_thread(partial(self._load, piece))
            await self._engine.change_blocks(partial(_extend, loaded))
        self._host.serve_span(there)
        self._serve(there, None)

    def _serve(self, span: Span, target: Span | None) -> None:
        self._own.update(
            span=span,
            target=target,
            cache_tokens=self._engine.capacity_tokens,
            free_tokens=self._host.free_tokens,
        )

    async def _empty(self, kept: Span | None) -> None:
        """Wait until no session uses blocks beyond ``kept`` and the rest fit into the cache; in the end, end them."""
        with trio.move_on_after(DRAIN_SECONDS):
            while self._engine.outside(kept) or self._engine.overdrawn:
                await self._host.change()
        for reservation in self._engine.outside(None if self._engine.overdrawn else kept):
            reservation.release()


def _extend(loaded: HostedBlocks, blocks: HostedBlocks) -> None:
    blocks.extend(loaded)
