"""A node's life: join, choose blocks, load and measure them, serve sessions, move, drain, leave."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
import trio

from dht import Identity, Peer, catalogue_of, open_peer
from routing import NodeState, NodeView, Snapshot, Span
from routing.node.self_placement import Model
from swarm_node.compute import HostedBlocks, HostedModel
from swarm_node.device import chosen_device
from swarm_node.engine import ComputeSpeed, Engine, Tally, known_speed, measure, open_engine, remember_speed, speed_file
from swarm_node.model import Quant
from swarm_node.node.announcer import Announcer
from swarm_node.node.counts import SessionCounts
from swarm_node.node.demand import Demand
from swarm_node.node.host import SessionHost
from swarm_node.node.lookout import Lookout
from swarm_node.node.machine import default_memory
from swarm_node.node.mover import Mover
from swarm_node.node.placement import hosting, settle
from swarm_node.node.promises import Promises
from swarm_node.node.reception import Served
from swarm_node.node.settings import DRAIN_SECONDS
from swarm_node.node.view import OwnView, Standing
from swarm_node.settings import session_tokens
from swarm_node.tasks import in_thread
from swarm_node.wire import HOP_PROTOCOL, SESSION_PROTOCOL, DtypeLike, check_model, dtype_name


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the person who runs a node decided."""

    identity: Path
    blocks: Span | None = None
    """None lets the node choose, and move when it pays."""
    memory_bytes: int | None = None
    initial_peers: Sequence[str] = ()
    new_swarm: bool = False
    """To be the first that serves this model, among the initial peers or without any."""
    host: str = "0.0.0.0"
    port: int = 0
    dtype: DtypeLike = "auto"
    quant: Quant = Quant.NONE
    device: str = "auto"
    share_prefixes: bool = False
    """Sessions go on from what those of other clients have left here, not only from their own client's."""
    metrics: tuple[str, int] | None = None
    """Host and port at which Prometheus may read; None: nowhere."""


class Node:
    """One node of a swarm, for as long as ``run`` runs.

    ``run`` owns everything: daemon, DHT, announcer, engine, sessions. ``drain`` makes it finish what it serves and
    return; cancelling it does not wait. ``view`` is what the node says of itself, None before it has blocks;
    ``report`` is called whenever it changes.
    """

    def __init__(
        self, options: NodeOptions, open_model: Callable[[], HostedModel], report: Callable[[Node], None]
    ) -> None:
        """``open_model`` is called in a thread, as it may block for disk and network."""
        self.options = options
        self.state = NodeState.JOINING
        self.model: HostedModel | None = None
        self.addresses: tuple[str, ...] = ()
        self._engine: Engine | None = None
        """Of the blocks that it serves."""
        self._tally = Tally()
        self._counts = SessionCounts()
        self._met: Snapshot | None = None
        """What it saw of the swarm when it joined."""
        self._lookout: Lookout | None = None
        self._own: OwnView | None = None
        self._open_model = open_model
        self._report = report
        self._drain = trio.Event()
        self._device = chosen_device(options.device)

    @property
    def view(self) -> NodeView | None:
        return self._own.now if self._own is not None else None

    @property
    def standing(self) -> Standing:
        """As of this moment."""
        model, engine = self.model, self._engine
        return Standing(
            state=self.state,
            model=model.name if model is not None else "?",
            blocks=model.blocks if model is not None else 0,
            session_tokens=session_tokens(model.context_length if model is not None else None),
            addresses=self.addresses,
            view=self.view,
            counts=self._counts,
            tally=self._tally,
            queued_steps=engine.queued if engine is not None else 0,
            kept_tokens=engine.kept_tokens if engine is not None else 0,
            swarm=self._lookout.snapshot if self._lookout is not None and self._lookout.snapshot.nodes else self._met,
        )

    def drain(self) -> None:
        """Take no more sessions, wait for the running ones (at most DRAIN_SECONDS), leave."""
        self._drain.set()

    async def run(self) -> None:
        """Serve until ``drain`` is called. Raises SwarmErrors of every branch, each one line for the user."""
        if self.options.metrics is None:
            await self._live()
            return
        from swarm_node.node.metrics_page import listening, serve_metrics  # 0.3 s of a node that nobody watches

        with listening(*self.options.metrics) as at:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_metrics, lambda: self.standing, at)
                await self._live()
                nursery.cancel_scope.cancel()

    async def _live(self) -> None:
        options = self.options
        identity = Identity.load_or_create(options.identity)
        self.model = model = await in_thread(self._open_model)
        async with open_peer(
            identity, host=options.host, port=options.port, initial_peers=options.initial_peers
        ) as peer:
            self.addresses = peer.addresses
            self._report(self)
            directory = peer.directory(model.fingerprint)
            self._met = await directory.snapshot()
            chosen = await self._choose_blocks(peer, model, self._met)
            demand = Demand(model.blocks, trio.current_time)
            self._own = own = OwnView(chosen, demand, self._changed)
            self._announcer = announcer = Announcer(directory, lambda: own.now, catalogue_of(peer), model.card)
            self._lookout = lookout = Lookout(peer, directory, _facts(model), own)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(announcer.run)
                    while await self._host(peer, model, demand, own, lookout):
                        pass
                    nursery.cancel_scope.cancel()
            finally:
                await announcer.withdraw()
                self.state = NodeState.OFFLINE
                self._report(self)

    async def _choose_blocks(self, peer: Peer, model: HostedModel, snapshot: Snapshot) -> NodeView:
        """What this node will be: raises WrongModel, UsageError or MemoryTooSmall if it cannot be."""
        options = self.options
        if not snapshot.nodes and not options.new_swarm:
            await check_model(peer, model.name, model.fingerprint, options.initial_peers)
        dtype = model.resolve_dtype(options.dtype)
        footprint = model.footprint(dtype, options.quant)
        speed = known_speed(self._speed_file(model, dtype)) or ComputeSpeed(0.0, 0.0)
        me = NodeView(
            peer_id=peer.peer_id,
            addresses=peer.addresses,
            state=NodeState.LOADING,
            span=options.blocks or Span(0, 1),
            memory_bytes=options.memory_bytes or default_memory(self._device),
            block_bytes=footprint.block_bytes,
            token_bytes=footprint.token_bytes,
            state_tokens=footprint.state_tokens,
            cache_tokens=0,
            free_tokens=0,
            prefill_seconds=speed.prefill_seconds,
            decode_seconds=speed.decode_seconds,
            pinned=options.blocks is not None,
            joined_at=time.time(),
            dtype=dtype_name(dtype) if options.quant is Quant.NONE else options.quant.value,
            version=version("swarm-node"),
        )
        return await in_thread(lambda: settle(me, snapshot, _facts(model), options.blocks))

    async def _host(self, peer: Peer, model: HostedModel, demand: Demand, own: OwnView, lookout: Lookout) -> bool:
        """Load, measure and serve the blocks of the view. True if the node should go on with other blocks.

        Those are then in the view; False if its owner wants it to leave.
        """
        dtype, span = model.resolve_dtype(self.options.dtype), own.now.span
        own.become(hosting(own.now, span))
        await self._enter(NodeState.LOADING, own)
        # Blocks that were left are rings of modules: their weights must be gone before there is room for others.
        gc.collect()

        def load(some: Span) -> HostedBlocks:
            return model.load(some, dtype, self.options.quant, self._device)

        blocks = await in_thread(lambda: load(span))
        await self._enter(NodeState.MEASURING, own)
        speed = await in_thread(lambda: _speed(blocks, self._speed_file(model, dtype)))
        own.update(prefill_seconds=speed.prefill_seconds, decode_seconds=speed.decode_seconds)
        promises = Promises(peer, model.fingerprint)
        served = Served(model.fingerprint, model.card.name, span, model.hidden_size)
        async with open_engine(blocks, own.now.cache_tokens, self._tally) as engine, trio.open_nursery() as nursery:
            self._engine = engine

            def changed() -> None:
                own.update(free_tokens=host.free_tokens, running=engine.running, waiting=host.waiting)

            host = SessionHost(
                peer, engine, served, demand, promises, changed, self.options.share_prefixes, self._counts
            )
            own.backlog = lambda: host.backlog_tokens
            mover = Mover(lookout, promises, engine, host, own, model.fetch, load)
            nursery.start_soon(engine.watch)
            await nursery.start(peer.serve, SESSION_PROTOCOL, host.serve_session)
            await nursery.start(peer.serve, HOP_PROTOCOL, host.serve_hop)
            await self._enter(NodeState.ONLINE, own)
            moved = await self._move_until_drained(mover)
            if not moved:
                await self._enter(NodeState.DRAINING, own)
                with trio.move_on_after(DRAIN_SECONDS):
                    await host.drain()
            nursery.cancel_scope.cancel()
        self._engine = None  # it holds on to the blocks, whose room others may need
        return moved

    async def _move_until_drained(self, mover: Mover) -> bool:
        """True if the node has left all of its blocks, False if it is to drain."""
        moved = False
        async with trio.open_nursery() as nursery:

            async def move() -> None:
                nonlocal moved
                await mover.run()
                moved = True
                nursery.cancel_scope.cancel()

            nursery.start_soon(move)
            await self._drain.wait()
            nursery.cancel_scope.cancel()
        return moved

    async def _enter(self, state: NodeState, own: OwnView) -> None:
        """Others can read the new state before the owner sees it: who is told ONLINE may rely on it."""
        own.update(state=state)
        await self._announcer.publish()
        self.state = state
        self._report(self)

    def _speed_file(self, model: HostedModel, dtype: torch.dtype) -> Path:
        return speed_file(model.fingerprint, dtype, self.options.quant, model.device_name(self._device))

    def _changed(self) -> None:
        self._announcer.changed()
        self._report(self)


def _speed(blocks: HostedBlocks, file: Path) -> ComputeSpeed:
    speed = known_speed(file)
    if speed is None:
        speed = measure(blocks)
        remember_speed(file, speed)
    return speed


def _facts(model: HostedModel) -> Model:
    return Model(model.blocks, session_tokens(model.context_length))
