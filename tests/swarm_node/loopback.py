"""A swarm in this process: real engines, session hosts and clients, joined by socket pairs in place of libp2p."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import trio

from dht.daemon import Stream
from dht.daemon.connection import Connection
from routing import NodeState, NodeView, SessionShape, Snapshot, Span
from routing.errors import PeerUnreachable
from swarm_node.client.chain import Chain
from swarm_node.client.chains import Chains
from swarm_node.client.client import SwarmClient
from swarm_node.client.opening import open_chain as find_chain
from swarm_node.client.session import Session
from swarm_node.client.step import SessionStep
from swarm_node.client.together import step_together
from swarm_node.compute.hosting import HostedBlocks
from swarm_node.engine.engine import Engine, open_engine
from swarm_node.node.demand import Demand
from swarm_node.node.host import SessionHost
from swarm_node.node.promises import Promises
from swarm_node.node.reception import Served
from swarm_node.settings import RECORD_SECONDS
from swarm_node.wire.frames import receive_message, send_message
from swarm_node.wire.messages import HOP_PROTOCOL, SESSION_PROTOCOL, Message, Open, Wait
from tests.swarm_node.watched import WIDTH

MODEL = "tiny"
BLOCKS = 4
TOKENS = 16
"""Length of the sessions in these tests."""

Handler = Callable[[Stream], Awaitable[None]]


@dataclass
class Card:
    """The model, as a client knows it."""

    name: str = "tiny"
    fingerprint: str = MODEL
    blocks: int = BLOCKS
    hidden_size: int = WIDTH
    context_length: int | None = None


@dataclass
class Here:
    """One node."""

    name: str
    span: Span
    engine: Engine
    host: SessionHost
    demand: Demand
    scope: trio.CancelScope

    def view(self) -> NodeView:
        return NodeView(
            peer_id=self.name,
            addresses=(),
            state=NodeState.ONLINE,
            span=self.span,
            memory_bytes=0,
            block_bytes=1,
            token_bytes=1,
            cache_tokens=self.engine.capacity_tokens,
            free_tokens=self.engine.free_tokens,
            prefill_seconds=0.0,
            decode_seconds=0.0,
            expires_at=time.time() + RECORD_SECONDS,
            waiting=self.host.waiting,
        )

    def die(self) -> None:
        """Like a power cut."""
        self.scope.cancel()


@dataclass
class Net:
    """All peers. ``lag`` holds seconds that opening a stream takes, by who opens it and to whom."""

    nursery: trio.Nursery
    nodes: dict[str, Here] = field(default_factory=dict)
    handlers: dict[tuple[str, str], Handler] = field(default_factory=dict)
    lag: dict[tuple[str, str], float] = field(default_factory=dict)
    opened: list[tuple[str, str]] = field(default_factory=list)
    """Every stream ever opened: who, to whom."""
    lookups: int = 0
    """Reads of the directory."""
    changed: trio.Event = field(default_factory=trio.Event)

    def snapshot(self) -> Snapshot:
        """What the directory says: as fresh as can be."""
        self.lookups += 1
        return Snapshot(MODEL, tuple(node.view() for node in self.nodes.values()), time.time())

    def tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that the session hosts tell of."""
        with trio.fail_after(5):
            while not true():
                await self.changed.wait()

    async def node(self, name: str, blocks: HostedBlocks, sessions: int, share_prefixes: bool = False) -> Here:
        """Start a node with room for so many sessions of TOKENS tokens on all of its blocks."""
        here: Here = await self.nursery.start(self._run_node, name, blocks, sessions, share_prefixes)
        return here

    async def _run_node(
        self,
        name: str,
        blocks: HostedBlocks,
        sessions: int,
        share_prefixes: bool,
        task_status: trio.TaskStatus[Here],
    ) -> None:
        peer: Any = LocalPeer(self, name)
        span = blocks.span
        async with open_engine(blocks, sessions * TOKENS * len(span)) as engine:
            demand = Demand(BLOCKS, trio.current_time)
            promises = Promises(peer, MODEL)
            served = Served(MODEL, MODEL, span, WIDTH)
            host = SessionHost(peer, engine, served, demand, promises, self.tell, share_prefixes)
            try:
                async with trio.open_nursery() as nursery:
                    here = self.nodes[name] = Here(name, span, engine, host, demand, nursery.cancel_scope)
                    self._serve(name, SESSION_PROTOCOL, host.serve_session, nursery)
                    self._serve(name, HOP_PROTOCOL, host.serve_hop, nursery)
                    task_status.started(here)
                    await trio.sleep_forever()
            finally:
                del self.nodes[name], self.handlers[name, SESSION_PROTOCOL], self.handlers[name, HOP_PROTOCOL]

    def _serve(self, name: str, protocol: str, handler: Handler, nursery: trio.Nursery) -> None:
        async def run(stream: Stream) -> None:
            try:
                await handler(stream)
            finally:
                stream.close()

        async def start(stream: Stream) -> None:
            nursery.start_soon(run, stream)

        self.handlers[name, protocol] = start

    def client(self, name: str, notices: list[str] | None = None, timeout: float = 10.0) -> SwarmClient:
        peer: Any = LocalPeer(self, name)
        notice = (notices if notices is not None else []).append
        return SwarmClient(Chains(peer, Card(), self.nursery, (), notice), timeout)


@dataclass
class LocalPeer:
    """Stands for a Peer."""

    net: Net
    peer_id: str
    addresses: tuple[str, ...] = ()

    def directory(self, model: str) -> LocalPeer:
        return self

    async def snapshot(self) -> Snapshot:
        await trio.lowlevel.checkpoint()
        return self.net.snapshot()

    async def open_stream(self, peer_id: str, addresses: Sequence[str], protocol: str, timeout: float) -> Stream:
        self.net.opened.append((self.peer_id, peer_id))
        await trio.sleep(self.net.lag.get((self.peer_id, peer_id), 0.0))
        handler = self.net.handlers.get((peer_id, protocol))
        if handler is None:
            raise PeerUnreachable("connection refused")
        ours, theirs = trio.socket.socketpair()
        await handler(Stream(Connection(trio.SocketStream(theirs)), self.peer_id))
        return Stream(Connection(trio.SocketStream(ours)), peer_id)


def in_swarm(main: Callable[[Net], Awaitable[None]], seconds: float = 10.0) -> None:
    """Run ``main`` in a new swarm, under a deadline; nothing of it may be left over in the end."""

    async def limited() -> None:
        with trio.fail_after(seconds):
            async with trio.open_nursery() as nursery:
                await main(Net(nursery))
                nursery.cancel_scope.cancel()

    trio.run(limited)


def waiting_since(since: float, tokens: int = TOKENS, span: Span | None = None) -> Wait:
    span = span or Span(0, BLOCKS)
    return Wait(model=MODEL, start=span.start, end=span.end, max_tokens=tokens, since=since)


def opening(number: int, tokens: int = TOKENS, span: Span | None = None) -> Open:
    """The only hop of session ``number``."""
    span = span or Span(0, BLOCKS)
    return Open(
        session=number.to_bytes(16, "big"), model=MODEL, start=span.start, end=span.end, max_tokens=tokens,
        previous=None, next=None,
    )  # fmt: skip


async def ask(net: Net, node: str, message: Message, client: str = "client") -> tuple[Stream, Message]:
    """A stream to ``node`` on which ``message`` was sent, and the answer."""
    stream = await LocalPeer(net, client).open_stream(node, (), SESSION_PROTOCOL, 5.0)
    return stream, await say(stream, message)


async def say(stream: Stream, message: Message) -> Message:
    await send_message(stream, message)
    return await hear(stream)


async def hear(stream: Stream) -> Message:
    with trio.fail_after(5):
        message, _ = await receive_message(stream)
    return message


def shape(tokens: int = TOKENS) -> SessionShape:
    return SessionShape(4, tokens)


async def open_chain(client: SwarmClient, seconds: float = 10.0) -> Chain:
    return await find_chain(client.chains, shape(), trio.current_time() + seconds)


async def run_step(session: Session, hidden: torch.Tensor, position: int, keep: int) -> torch.Tensor:
    """A call of one session; returns the [keep, hidden] that came of it."""
    (output,) = await step_together({session: SessionStep(hidden, position, keep)})
    return output


async def close(chain: Chain) -> None:
    chain.abandon()
    await chain.ended()


def hidden_states(seed: int) -> torch.Tensor:
    """[4, width], different for each seed."""
    return torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(seed))
