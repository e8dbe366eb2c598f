"""A node's life: join, choose blocks, load and measure them, serve sessions, drain, leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
import trio

from dht import Identity, Peer, open_peer
from routing import NodeState, NodeView, Snapshot, Span
from routing.errors import UsageError
from swarm_node.announcer import Announcer
from swarm_node.blocks import load_span
from swarm_node.compute_speed import measure
from swarm_node.engine import open_engine
from swarm_node.membership import check_model
from swarm_node.memory import default_memory
from swarm_node.model_source import ModelSource
from swarm_node.plan import plan_hosting
from swarm_node.session_host import Served, SessionHost
from swarm_node.settings import DRAIN_SECONDS
from swarm_node.wire import HOP_PROTOCOL, SESSION_PROTOCOL, dtype_name

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the person who runs a node decided."""

    model: str
    identity: Path
    revision: str | None = None
    blocks: Span | None = None
    memory_bytes: int | None = None
    initial_peers: Sequence[str] = ()
    new_swarm: bool = False
    host: str = "0.0.0.0"
    port: int = 0
    dtype: str = "auto"
    device: str = "auto"


class Node:
    """One node of a swarm, for as long as ``run`` runs.

    ``run`` owns everything: daemon, DHT, announcer, engine, sessions. ``drain`` makes it finish what it serves and
    return; cancelling it does not wait. ``view`` is what the node says of itself, None before it has blocks;
    ``report`` is called whenever it changes.
    """

    def __init__(self, options: NodeOptions, report: Callable[[Node], None]) -> None:
        self.options = options
        self.state = NodeState.JOINING
        self.view: NodeView | None = None
        self.source: ModelSource | None = None
        self.addresses: tuple[str, ...] = ()
        self._report = report
        self._drain = trio.Event()
        self._device = _device(options.device)

    def drain(self) -> None:
        """Take no more sessions, wait for the running ones (at most DRAIN_SECONDS), leave."""
        self._drain.set()

    async def run(self) -> None:
        """Serve until ``drain`` is called. Raises SwarmErrors of every branch, each one line for the user."""
        options = self.options
        identity = Identity.load_or_create(options.identity)
        source = await _in_thread(lambda: ModelSource.open(options.model, options.revision))
        self.source = source
        async with open_peer(
            identity, host=options.host, port=options.port, initial_peers=options.initial_peers
        ) as peer:
            self.addresses = peer.addresses
            self._report(self)
            directory = peer.directory(source.fingerprint)
            self.view = await self._choose_blocks(peer, source, await directory.snapshot())
            announcer = Announcer(directory, self.view)
            try:
                async with trio.open_nursery() as nursery:
                    await self._enter(NodeState.LOADING, announcer)
                    nursery.start_soon(announcer.run)
                    await self._serve(peer, source, self.view.span, announcer)
                    nursery.cancel_scope.cancel()
            finally:
                await announcer.withdraw()
                self.state = NodeState.OFFLINE
                self._report(self)

    async def _choose_blocks(self, peer: Peer, source: ModelSource, snapshot: Snapshot) -> NodeView:
        """What this node will be: raises WrongModel, UsageError or MemoryTooSmall if it cannot be."""
        options = self.options
        if not snapshot.nodes and not options.new_swarm:
            await check_model(peer, source.name, source.fingerprint, options.initial_peers)
        dtype = source.resolve_dtype(options.dtype)
        footprint = source.footprint(dtype)
        memory = options.memory_bytes or default_memory(self._device)
        plan = plan_hosting(snapshot, source.blocks, footprint, source.context_length, memory, options.blocks)
        return NodeView(
            peer_id=peer.peer_id,
            addresses=peer.addresses,
            state=NodeState.LOADING,
            span=plan.span,
            memory_bytes=plan.memory_bytes,
            block_bytes=footprint.block_bytes,
            token_bytes=footprint.token_bytes,
            cache_tokens=plan.cache_tokens,
            free_tokens=plan.cache_tokens,
            prefill_seconds=0.0,
            decode_seconds=0.0,
            dtype=dtype_name(dtype),
            version=version("swarm-node"),
        )

    async def _serve(self, peer: Peer, source: ModelSource, span: Span, announcer: Announcer) -> None:
        """Load and measure the blocks, serve sessions until told to drain, and drain."""
        dtype = source.resolve_dtype(self.options.dtype)
        blocks = await _in_thread(lambda: load_span(source, span, dtype=dtype, device=self._device))
        await self._enter(NodeState.MEASURING, announcer)
        speed = await _in_thread(lambda: measure(blocks))
        assert self.view is not None, "blocks were chosen"
        async with open_engine(blocks, self.view.cache_tokens) as engine, trio.open_nursery() as nursery:

            def sessions_changed() -> None:
                self._update(announcer, free_tokens=engine.free_tokens, running=engine.running)

            served = Served(source.fingerprint, _public_name(source.name), span, blocks.hidden_size)
            nursery.start_soon(engine.watch)
            host = SessionHost(peer, engine, served, sessions_changed)
            await nursery.start(peer.serve, SESSION_PROTOCOL, host.serve_session)
            await nursery.start(peer.serve, HOP_PROTOCOL, host.serve_hop)
            self._update(announcer, prefill_seconds=speed.prefill_seconds, decode_seconds=speed.decode_seconds)
            await self._enter(NodeState.ONLINE, announcer)
            await self._drain.wait()
            await self._enter(NodeState.DRAINING, announcer)
            with trio.move_on_after(DRAIN_SECONDS):
                await host.drain()
            nursery.cancel_scope.cancel()

    async def _enter(self, state: NodeState, announcer: Announcer) -> None:
        """Others can read the new state before the owner sees it: who is told ONLINE may rely on it."""
        self._update(announcer, state=state)
        await announcer.publish()
        self.state = state
        self._report(self)

    def _update(self, announcer: Announcer, **changes: Any) -> None:
        assert self.view is not None, "announced only once blocks are chosen"
        self.view = replace(self.view, **changes)
        announcer.update(self.view)
        self._report(self)


async def _in_thread(function: Callable[[], T]) -> T:
    """Run ``function`` in a worker thread; cancellation does not wait for it, so that Ctrl-C ends a long load."""
    return await trio.to_thread.run_sync(function, abandon_on_cancel=True)


def _public_name(name: str) -> str:
    """A Hub id as it is; of a directory only its own name, since the rest is nobody's business."""
    path = Path(name)
    return path.resolve().name[:200] if path.is_dir() else name


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"'{name}' is no device; write cpu, cuda or cuda:1") from None
    if device.type not in ("cpu", "cuda") or (
        device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    ):
        raise UsageError(f"this machine has no device {name}; it has {torch.cuda.device_count()} GPUs for PyTorch")
    return name
