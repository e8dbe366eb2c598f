"""The swarm's distributed hash table, called from trio: signed records under keys, each until its expiration."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import base58
import trio
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hivemind.dht.node import DHTNode
from hivemind.dht.routing import DHTID
from hivemind.p2p import P2P, PeerID
from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError, P2PHandlerError
from hivemind.proto import dht_pb2
from hivemind.utils.logging import HandlerMode, use_hivemind_log_handler
from hivemind.utils.multiaddr import Multiaddr

from dht.clock import check_clock
from dht.daemon import Daemon
from dht.entry import Entry, unpacked
from dht.identity import Identity
from dht.peer_id import SIGNATURE_BYTES, short_name
from dht.settings import (
    LOOKUP_PEERS,
    LOOKUP_SECONDS,
    LOOKUP_WORKERS,
    REPLICAS,
    RPC_SECONDS,
    SUSPECT_SECONDS,
)
from dht.table.loop_thread import LoopThread, open_loop_thread
from dht.table.signed_records import SignedRecords
from dht.table.timed_storage import repair
from routing.errors import DaemonError, PeerSilent, PeerUnreachable

log = logging.getLogger(__name__)

T = TypeVar("T")


class Table:
    """This peer's part of the hash table.

    Owned by ``open_table``. It holds a thread with hivemind's asyncio code, which keeps records for others and calls
    other peers through the daemon. Of two records of one publisher under one key, the one
    that expires later wins, everywhere.
    """

    def __init__(self, thread: LoopThread, node: DHTNode, peer_id: str) -> None:
        self.peer_id = peer_id
        self._thread = thread
        self._node = node

    async def join(self, peer_id: str) -> None:
        """Get to know the peer ``peer_id``, to which there is a connection, and through it the peers near this one.

        Raises ClockSkew if its clock differs too much from ours, PeerUnreachable if it does not answer as a member.
        """
        await self._thread.run(_join, self._node, peer_id)

    async def members(self) -> set[str]:
        """The peers this one knows directly; empty when it is cut off, or the first."""
        return await self._thread.run(_members, self._node)

    async def store(self, key: str, value: bytes, expiration: float) -> bool:
        """Publish ``value`` under ``key`` in this peer's name until ``expiration`` (unix seconds).

        False if the last peer asked refused it, for instance because it has one that expires later. Raises PeerSilent.
        """
        return await self._in_time(
            lambda: self._node.store(
                key,
                value,
                expiration,
                subkey=self.peer_id,
                await_all_replicas=True,
                beam_size=LOOKUP_PEERS,
            )
        )

    async def get(self, keys: Sequence[str]) -> list[dict[str, Entry]]:
        """For each key what is published there, by peer id of the publisher. Raises PeerSilent."""
        found = await self._in_time(
            lambda: self._node.get_many(
                keys, sufficient_expiration_time=float("inf"), beam_size=LOOKUP_PEERS, num_workers=LOOKUP_WORKERS
            )
        )
        return [_entries(found[key]) for key in keys]

    async def _in_time(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with trio.move_on_after(LOOKUP_SECONDS):
            return await self._thread.run(call)
        raise PeerSilent(f"the swarm's directory did not answer within {LOOKUP_SECONDS:g} s; check the network")


@asynccontextmanager
async def open_table(daemon: Daemon, identity: Identity) -> AsyncIterator[Table]:
    """Take part in the hash table through ``daemon``, for as long as the body runs. Raises DaemonError."""
    _quieten_hivemind()
    repair()
    async with open_loop_thread("dht") as thread:
        p2p, node = await thread.run(_create, daemon, identity)
        try:
            yield Table(thread, node, daemon.peer_id)
        finally:
            with trio.CancelScope(shield=True):
                await thread.run(_close, p2p, node)


async def _create(daemon: Daemon, identity: Identity) -> tuple[P2P, DHTNode]:
    class PrivateP2P(P2P):
        """P2P whose sockets would not lie in the public /tmp."""

        _UNIX_SOCKET_PREFIX = f"/unix{daemon.control.parent}/"

    try:
        p2p = await PrivateP2P.replicate(Multiaddr(f"/unix{daemon.control}"))
        node = await DHTNode.create(
            p2p,
            # Always the same for a peer, so that one that restarts takes its old place in the tables of others.
            node_id=DHTID.generate(source=daemon.peer_id),
            num_replicas=REPLICAS,
            wait_timeout=RPC_SECONDS,
            blacklist_time=SUSPECT_SECONDS,
            backoff_rate=1.0,
            # Records live for seconds: a cache would only show what has changed since.
            cache_locally=False,
            cache_nearest=0,
            cache_on_store=False,
            cache_refresh_before_expiry=0,
            reuse_get_requests=False,
            record_validator=SignedRecords(identity),
        )
    except (P2PDaemonError, OSError, asyncio.IncompleteReadError) as error:
        raise DaemonError(f"the libp2p daemon does not serve the hash table: {error}; start again") from error
    return p2p, node


async def _close(p2p: P2P, node: DHTNode) -> None:
    # Not node.shutdown(), which would wait for answers of a daemon that may be dead. Its tasks end with the loop.
    node.is_alive = False
    await p2p.shutdown()


async def _join(node: DHTNode, peer_id: str) -> None:
    peer = PeerID(base58.b58decode(peer_id))
    request = dht_pb2.PingRequest(peer=node.protocol.node_info, validate=True)
    asked = time.time()
    try:
        response = await node.protocol.get_stub(peer).rpc_ping(request, timeout=RPC_SECONDS)
        answered = time.time()
        if len(response.peer.node_id) != DHTID.HASH_NBYTES:
            raise ValueError("no node id")
        node_id = DHTID.from_bytes(response.peer.node_id)
    except TimeoutError:
        raise PeerUnreachable(f"peer {short_name(peer_id)} did not answer within {RPC_SECONDS:g} s") from None
    except (P2PDaemonError, P2PHandlerError, DecodeError, ValueError) as error:
        raise PeerUnreachable(f"peer {short_name(peer_id)} is no node of a swarm") from error
    check_clock(peer_id, response.dht_time, asked, answered)
    if not response.available:
        raise PeerUnreachable(f"peer {short_name(peer_id)} cannot call back this node")
    node.blacklist.register_success(peer)
    await node.protocol.update_routing_table(node_id, peer, responded=True)
    try:
        await asyncio.wait_for(node.find_nearest_nodes([node.node_id]), timeout=RPC_SECONDS)
    except TimeoutError:
        log.debug("not all neighbours answered in time; lookups will find them")


async def _members(node: DHTNode) -> set[str]:
    return {peer.to_base58() for peer in node.protocol.routing_table.peer_id_to_uid}


def _entries(found: Any) -> dict[str, Entry]:
    if found is None or not isinstance(found.value, dict):
        return {}
    now = time.time()
    return {
        publisher: Entry(value, item.expiration_time, item.value)
        for publisher, item in found.value.items()
        if item.expiration_time > now and isinstance(value := unpacked(item.value[:-SIGNATURE_BYTES]), bytes)
    }


def _quieten_hivemind() -> None:
    """hivemind prints what we report ourselves, so its own log is for --debug only."""
    use_hivemind_log_handler(HandlerMode.NOWHERE)
    wanted = log.isEnabledFor(logging.DEBUG)
    logging.getLogger("hivemind").setLevel(logging.NOTSET if wanted else logging.CRITICAL)
