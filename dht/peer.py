"""This process's place in a swarm: its daemon and its part of the hash table, opened and closed together."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

import trio

from dht.board import Board
from dht.daemon import Daemon, Stream, StreamHandler, open_daemon
from dht.directory import Directory
from dht.enquiry import ENQUIRY_PROTOCOL, Desk, Enquirer
from dht.entry import Entries
from dht.identity import Identity
from dht.multiaddr import PeerAddress
from dht.nursery import open_owner_nursery
from dht.peer_id import peer_id_bytes
from dht.reach import Reach, reach_of
from dht.settings import ALONE_SECONDS, DIAL_SECONDS, REJOIN_SECONDS, UNIX_PATH_BYTES
from routing.errors import ClockSkew, NetworkError, PeerUnreachable, UsageError
from routing.snapshot import NodeView

if TYPE_CHECKING:
    from dht.table import Table

log = logging.getLogger(__name__)

Contacts = Mapping[str, list[PeerAddress]]
"""Addresses by peer id."""


class Joining(Protocol):
    """How a peer gets to know another, which it is connected to."""

    async def join(self, peer_id: str) -> None:
        """Raises ClockSkew if its clock differs too much from ours, PeerUnreachable if it is no member."""


class Peer:
    """A member of a swarm, or its client: opens and serves streams, and reads directories; a member writes them too.

    Owned by ``open_peer``, which holds a daemon process, and of a member a thread and a task that gets back in touch
    with initial peers when they are lost; all of that ends with it.
    """

    def __init__(self, daemon: Daemon, entries: Entries, contacts: Contacts) -> None:
        self.peer_id = daemon.peer_id
        self.addresses = _published(daemon.addresses, daemon.peer_id)
        """Multiaddresses to reach this peer at, the most useful first; none for a client."""
        self._daemon = daemon
        self._entries = entries
        self._contacts = contacts

    async def open_stream(self, peer_id: str, addresses: Sequence[str], protocol: str, timeout: float) -> Stream:
        """A stream to ``peer_id``, which serves ``protocol``; connects to one of its ``addresses`` first if need be.

        Raises PeerUnreachable with the reason, UsageError for a malformed id or address: they may come from strangers.
        """
        try:
            peer_id_bytes(peer_id)
        except ValueError:
            raise UsageError(f"{peer_id[:80]!r} is no peer id") from None
        transports = _transports(addresses)
        until = trio.current_time() + timeout
        await self._daemon.connect(peer_id, transports, timeout)
        return await self._daemon.open_stream(peer_id, protocol, max(0.0, until - trio.current_time()))

    async def serve(
        self, protocol: str, handler: StreamHandler, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run ``handler`` for every stream opened to this peer with ``protocol``, until cancelled.

        The stream is closed when its handler returns. A SwarmError ends its stream only. Reported started when other
        peers can open streams.
        """
        await self._daemon.serve(protocol, handler, task_status)

    def directory(self, model: str) -> Directory:
        """The directory of the model with this fingerprint."""
        return Directory(self.board(f"nodes/{model}"), model, self._meet)

    def board(self, name: str) -> Board:
        """Where peers publish under ``name``, one signed entry each."""
        return Board(self._entries, name)

    def _meet(self, nodes: Sequence[NodeView]) -> None:
        """A client may ask these, too, when those it was told of are gone."""
        if isinstance(self._entries, Enquirer):
            self._entries.meet({node.peer_id: _transports(node.addresses) for node in nodes})

    async def _join(self, table: Joining) -> None:
        """Join through the initial peers, all at once; one that answers is enough.

        Raises ClockSkew or PeerUnreachable naming each if there are some and none will do.
        """
        failures: dict[str, NetworkError] = {}

        async def try_contact(peer_id: str) -> None:
            try:
                await self._contact(table, peer_id)
            except (PeerUnreachable, ClockSkew) as error:
                failures[peer_id] = error

        async with trio.open_nursery() as nursery:
            for peer_id in self._contacts:
                nursery.start_soon(try_contact, peer_id)
        if failures and len(failures) == len(self._contacts):
            raise self._not_joined(failures)
        for peer_id, error in failures.items():
            log.warning("initial peer %s left out: %s", self._contacts[peer_id][0], error)

    async def _contact(self, table: Joining, peer_id: str) -> None:
        transports = [address.transport for address in self._contacts[peer_id]]
        await self._daemon.connect(peer_id, transports, DIAL_SECONDS)
        await table.join(peer_id)

    def _not_joined(self, failures: Mapping[str, NetworkError]) -> NetworkError:
        skewed = [error for error in failures.values() if isinstance(error, ClockSkew)]
        if skewed:
            return skewed[0]
        tried = "; ".join(f"{self._contacts[peer_id][0]} ({error})" for peer_id, error in failures.items())
        return PeerUnreachable(
            f"no initial peer answers: {tried}; check that a node runs there and that the network leads there"
        )

    async def _stay_joined(self, table: Table) -> None:
        """Get back in touch with initial peers after an outage: the table forgets whoever does not answer."""
        alone = False
        while True:
            await trio.sleep(ALONE_SECONDS if alone else REJOIN_SECONDS)
            members = await table.members()
            if self._contacts and not members and not alone:
                log.warning("no peer of the swarm answers; trying to get back in touch")
            alone = not members
            for peer_id in self._contacts.keys() - members:
                try:
                    await self._contact(table, peer_id)
                except (PeerUnreachable, ClockSkew) as error:
                    log.debug("initial peer %s is still lost: %s", peer_id, error)


@asynccontextmanager
async def open_peer(
    identity: Identity,
    *,
    host: str = "0.0.0.0",
    port: int = 0,
    initial_peers: Sequence[str] = (),
    client_only: bool = False,
) -> AsyncIterator[Peer]:
    """Join the swarm of ``initial_peers``, or start a new one without them, for as long as the body runs.

    A node listens on ``host`` (an IP address of this machine) and TCP ``port`` (0: any that is free). A client listens
    on nothing and keeps no records for others, but may open streams.

    Raises UsageError for a malformed address or host, PortTaken, DaemonError if the daemon does not start or dies
    later (the body is cancelled then), PeerUnreachable if there are initial peers but none answers, ClockSkew.
    """
    contacts = _contacts(initial_peers, identity.peer_id)
    if client_only and not contacts:
        raise UsageError("a client needs the address of a node: give --initial-peers")
    listening = None if client_only else _checked_host(host)
    with _run_directory() as name:
        async with (
            open_daemon(identity, listening, port, Path(name)) as daemon,
            _open_client(daemon, contacts) if client_only else _open_member(daemon, identity, contacts) as peer,
        ):
            yield peer


@asynccontextmanager
async def _open_client(daemon: Daemon, contacts: Contacts) -> AsyncIterator[Peer]:
    enquirer = Enquirer(daemon, {peer_id: [each.transport for each in known] for peer_id, known in contacts.items()})
    peer = Peer(daemon, enquirer, contacts)
    await peer._join(enquirer)
    yield peer


@asynccontextmanager
async def _open_member(daemon: Daemon, identity: Identity, contacts: Contacts) -> AsyncIterator[Peer]:
    from dht.table import open_table  # brings hivemind, which a client can do without

    async with open_table(daemon, identity) as table, open_owner_nursery() as nursery:
        peer = Peer(daemon, table, contacts)
        await peer._join(table)
        await nursery.start(daemon.serve, ENQUIRY_PROTOCOL, Desk(table).answer)
        nursery.start_soon(peer._stay_joined, table)
        yield peer


def _contacts(initial_peers: Sequence[str], own_id: str) -> dict[str, list[PeerAddress]]:
    contacts: dict[str, list[PeerAddress]] = {}
    for address in map(PeerAddress.parse, initial_peers):
        contacts.setdefault(address.peer_id, []).append(address)
    own = contacts.pop(own_id, None)
    if own and not contacts:
        raise UsageError(f"{own[0]} is this peer itself: give the address of another, or another --identity")
    return contacts


def _transports(addresses: Sequence[str]) -> list[str]:
    return [PeerAddress.parse(address).transport for address in addresses]


def _checked_host(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        raise UsageError(f"{host!r} is no IP address; give one of this machine, or 0.0.0.0 for all") from None


def _run_directory() -> TemporaryDirectory[str]:
    """A new directory for sockets that only this user may enter; it vanishes with the body."""
    directory = TemporaryDirectory(prefix="swarm-")
    if len(os.fsencode(directory.name)) + len("/control.sock") <= UNIX_PATH_BYTES:
        return directory
    directory.cleanup()
    return TemporaryDirectory(prefix="swarm-", dir="/tmp")


def _published(transports: Sequence[str], peer_id: str) -> tuple[str, ...]:
    """The addresses others should try, in that order; loopback ones only where a machine has no other."""
    ranked = sorted((reach, text) for text in transports if (reach := reach_of(text)) is not None)
    useful = [text for reach, text in ranked if reach < Reach.MACHINE] or [text for _, text in ranked]
    return tuple(f"{text}/p2p/{peer_id}" for text in useful)
