"""A swarm in this process: real engines, session hosts and clients, joined by socket pairs in place of libp2p."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import trio

from dht.daemon.connection import Connection
from dht.daemon.stream import Stream
from routing import NodeState, NodeView, Snapshot, Span
from routing.errors import PeerUnreachable, SwarmError
from swarm_node.client.chains import Chains
from swarm_node.client.client import SwarmClient
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
from swarm_node.wire.card import ModelCard
from swarm_node.wire.frames import receive_message, send_message
from swarm_node.wire.messages import HOP_PROTOCOL, SESSION_PROTOCOL, Message

log = logging.getLogger(__name__)

Handler = Callable[[Stream], Awaitable[None]]


@dataclass
class LocalNode:
    """One node: its parts, to look at and to interfere with.

    Owned by its LocalNetwork; ended by ``die`` or with the network.
    """

    name: str
    span: Span
    engine: Engine
    host: SessionHost
    demand: Demand
    scope: trio.CancelScope

    def view(self) -> NodeView:
        """What the directory says of it, as of this moment."""
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
        """Like a power cut: its streams end, and it is gone from the directory."""
        self.scope.cancel()


@dataclass
class LocalNetwork:
    """All peers of one swarm, by name; what serves and who asks are both in this process.

    Made by ``in_swarm``, whose nursery runs every node and every client.

    Nodes
        ``node`` starts one with real engine, session host and waiting line on blocks that the caller has loaded. For a
        node of your own, take ``peer`` and let it ``serve`` and ``announce``, as a dht.Peer and its directory do.

    Clients
        ``client`` gives a real SwarmClient. For a client of your own, take ``peer`` where a dht.Peer would be.

    Trouble
        ``LocalNode.die`` is a power cut. ``lag`` holds seconds that opening a stream takes, by who opens it and to
        whom. ``opened`` and ``lookups`` say what was asked of whom, and how often.
    """

    nursery: trio.Nursery
    model: ModelCard
    session_tokens: int
    """Length of the sessions by which a node's room is given."""
    nodes: dict[str, LocalNode] = field(default_factory=dict)
    handlers: dict[tuple[str, str], Callable[[Stream], None]] = field(default_factory=dict)
    """What starts serving a stream, by peer and protocol; filled by ``LocalPeer.serve``."""
    announced: dict[str, NodeView] = field(default_factory=dict)
    """What nodes of the caller's own say of themselves."""
    lag: dict[tuple[str, str], float] = field(default_factory=dict)
    opened: list[tuple[str, str]] = field(default_factory=list)
    """Every stream ever opened: who, to whom."""
    streams: list[Stream] = field(default_factory=list)
    """The openers' ends of them. One that nobody closes is closed with the network."""
    lookups: int = 0
    """Reads of the directory."""
    changed: trio.Event = field(default_factory=trio.Event)

    def snapshot(self) -> Snapshot:
        """What the directory says: as fresh as can be."""
        self.lookups += 1
        now = time.time()
        others = [view for view in self.announced.values() if view.expires_at > now]
        return Snapshot(self.model.fingerprint, (*(node.view() for node in self.nodes.values()), *others), now)

    def tell(self) -> None:
        """Let ``until`` look again; called whenever a session comes, goes or waits, and when a node ends."""
        self.changed.set()
        self.changed = trio.Event()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that ``tell`` tells of. Raises trio.TooSlowError after 5 s."""
        with trio.fail_after(5):
            while not true():
                await self.changed.wait()

    async def node(self, name: str, blocks: HostedBlocks, sessions: int, share_prefixes: bool = False) -> LocalNode:
        """Start a node with room for so many sessions of ``session_tokens`` tokens on all of its blocks.

        It serves when this returns. Nodes that run at once need blocks of their own each.
        """
        here: LocalNode = await self.nursery.start(self._run_node, name, blocks, sessions, share_prefixes)
        return here

    async def _run_node(
        self,
        name: str,
        blocks: HostedBlocks,
        sessions: int,
        share_prefixes: bool,
        task_status: trio.TaskStatus[LocalNode],
    ) -> None:
        peer: Any = self.peer(name)
        model, span = self.model, blocks.span
        async with open_engine(blocks, sessions * self.session_tokens * len(span)) as engine:
            demand = Demand(model.blocks, trio.current_time)
            promises = Promises(peer, model.fingerprint)
            served = Served(model.fingerprint, model.name, span, model.hidden_size)
            host = SessionHost(peer, engine, served, demand, promises, self.tell, share_prefixes)
            try:
                async with trio.open_nursery() as nursery:
                    here = self.nodes[name] = LocalNode(name, span, engine, host, demand, nursery.cancel_scope)
                    await nursery.start(peer.serve, SESSION_PROTOCOL, host.serve_session)
                    await nursery.start(peer.serve, HOP_PROTOCOL, host.serve_hop)
                    task_status.started(here)
                    await trio.sleep_forever()
            finally:
                del self.nodes[name]
                self.tell()

    def peer(self, name: str) -> LocalPeer:
        """The peer of that name, for a client or a node of the caller's own."""
        return LocalPeer(self, name)

    def client(self, name: str, notices: list[str] | None = None, timeout: float = 10.0) -> SwarmClient:
        """A client of that name; what it tells people of goes into ``notices``.

        ``timeout``: seconds for which it waits for a chain.
        """
        peer: Any = self.peer(name)
        notice = (notices if notices is not None else []).append
        return SwarmClient(Chains(peer, self.model, self.nursery, (), notice), timeout)


@dataclass
class LocalPeer:
    """Stands for a dht.Peer, and for its directory: it has their methods, and their errors where they matter.

    Holds nothing that needs closing; its streams belong to whoever opened them.
    """

    network: LocalNetwork
    peer_id: str
    addresses: tuple[str, ...] = ()

    def directory(self, model: str) -> LocalPeer:
        return self

    async def snapshot(self) -> Snapshot:
        await trio.lowlevel.checkpoint()
        return self.network.snapshot()

    async def announce(self, view: NodeView, expires_in: float) -> None:
        """Publish this peer as ``view``, for ``expires_in`` seconds or until the next announcement or withdrawal."""
        await trio.lowlevel.checkpoint()
        self.network.announced[self.peer_id] = replace(view, expires_at=time.time() + expires_in)

    async def withdraw(self) -> None:
        await trio.lowlevel.checkpoint()
        self.network.announced.pop(self.peer_id, None)

    async def serve(
        self, protocol: str, handler: Handler, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run ``handler`` for every stream opened to this peer with ``protocol``, until cancelled.

        The stream is closed when its handler returns. A SwarmError ends its stream only.
        """

        async def run(stream: Stream) -> None:
            try:
                await handler(stream)
            except SwarmError as error:
                log.info("a stream of %s to %s ended: %s", stream.peer_id, self.peer_id, error)
            finally:
                stream.close()

        async with trio.open_nursery() as nursery:
            self.network.handlers[self.peer_id, protocol] = lambda stream: nursery.start_soon(run, stream)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                del self.network.handlers[self.peer_id, protocol]

    async def open_stream(self, peer_id: str, addresses: Sequence[str], protocol: str, timeout: float) -> Stream:
        """A stream to ``peer_id``, which serves ``protocol``. Raises PeerUnreachable if it does not."""
        self.network.opened.append((self.peer_id, peer_id))
        await trio.sleep(self.network.lag.get((self.peer_id, peer_id), 0.0))
        handler = self.network.handlers.get((peer_id, protocol))
        if handler is None:
            raise PeerUnreachable("connection refused")
        ours, theirs = trio.socket.socketpair()
        handler(Stream(Connection(trio.SocketStream(theirs)), self.peer_id))
        stream = Stream(Connection(trio.SocketStream(ours)), peer_id)
        self.network.streams.append(stream)
        return stream


def in_swarm(
    main: Callable[[LocalNetwork], Awaitable[None]], model: ModelCard, seconds: float = 10.0, session_tokens: int = 16
) -> None:
    """Run ``main`` in a new swarm of ``model``, in a trio loop of its own.

    ``main`` starts nodes and clients, and says what should come of it. ``model`` is what they know of the model: a
    ModelSource, or any object with its five attributes.

    Resource handling
        All nodes, clients and streams end when ``main`` returns or raises; nothing of them may be left over then.

    Error handling
        What ``main`` raises comes out of this call, in an exception group as trio's nurseries make them; so does what
        a node or client raises, which cancels ``main``. Raises trio.TooSlowError if ``main`` takes more than
        ``seconds``.
    """

    async def limited() -> None:
        with trio.fail_after(seconds):
            async with trio.open_nursery() as nursery:
                network = LocalNetwork(nursery, model, session_tokens)
                try:
                    await main(network)
                finally:
                    for stream in network.streams:
                        stream.close()
                nursery.cancel_scope.cancel()

    trio.run(limited)


async def run_step(session: Session, hidden: torch.Tensor, position: int, keep: int) -> torch.Tensor:
    """Run [tokens, hidden size] at ``position`` of one session; returns the last ``keep`` tokens' output."""
    (output,) = await step_together({session: SessionStep(hidden, position, keep)})
    return output


async def ask(net: LocalNetwork, node: str, message: Message, client: str = "client") -> tuple[Stream, Message]:
    """A stream to ``node`` on which ``message`` was sent, and the answer."""
    stream = await net.peer(client).open_stream(node, (), SESSION_PROTOCOL, 5.0)
    return stream, await say(stream, message)


async def say(stream: Stream, message: Message) -> Message:
    """Send ``message`` and wait for the answer."""
    await send_message(stream, message)
    return await hear(stream)


async def hear(stream: Stream) -> Message:
    """The next message. Raises trio.TooSlowError after 5 s, StreamClosed if there is none."""
    with trio.fail_after(5):
        message, _ = await receive_message(stream)
    return message
