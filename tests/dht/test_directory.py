"""What one node announces, all peers see, for as long as it says so; what is forged, nobody believes."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import cast

import msgpack
import pytest
import trio
from hivemind.dht.routing import DHTID
from hivemind.dht.validation import DHTRecord
from hivemind.p2p import PeerID

from dht import Directory, Identity, NodeRecord, Peer
from dht.board import Board, shard_key, shard_of
from dht.entry import Entry
from dht.table import Table
from dht.table.signed_records import SignedRecords
from routing import NodeState, Span
from routing.errors import ProtocolError
from tests.dht.peers import in_trio, local_peer, view_of

MODEL = "fingerprint"


async def until_seen(directory: Directory, *peers: Peer) -> None:
    """Return when a snapshot shows exactly ``peers``; the caller sets the deadline."""
    expected = {peer.peer_id for peer in peers}
    while {node.peer_id for node in (await directory.snapshot()).nodes} != expected:
        await trio.sleep(0.05)


def left_out(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The peers whose records a snapshot left out, as the log says."""
    return [record.getMessage().split()[3] for record in caplog.records if "left out" in record.getMessage()]


@in_trio(40)
async def test_nodes_and_clients_see_what_a_node_announces(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
        local_peer(tmp_path / "client", initial_peers=alice.addresses, client_only=True) as client,
    ):
        await alice.directory(MODEL).announce(view_of(alice), 20)
        await bob.directory(MODEL).announce(view_of(bob, span=Span(4, 8), state=NodeState.LOADING), 20)
        for peer in (alice, bob, client):
            before = time.time()
            snapshot = await peer.directory(MODEL).snapshot()
            assert snapshot.nodes == tuple(
                sorted(
                    (view_of(alice), view_of(bob, span=Span(4, 8), state=NodeState.LOADING)),
                    key=lambda node: node.peer_id,
                )
            )
            assert snapshot.model == MODEL
            assert before <= snapshot.taken_at <= time.time()
            assert (await peer.directory("another model").snapshot()).nodes == ()


@in_trio(40)
async def test_the_newest_announcement_counts_even_if_it_ends_sooner(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
    ):
        directory = bob.directory(MODEL)
        for free, seconds in ((900, 20), (800, 20), (700, 5), (600, 1), (500, 20)):
            await directory.announce(view_of(bob, free_tokens=free), seconds)
            (node,) = (await alice.directory(MODEL).snapshot()).nodes
            assert node.free_tokens == free


@in_trio(40)
async def test_a_withdrawn_node_is_gone_at_once_and_may_come_back_at_once(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "client", initial_peers=alice.addresses, client_only=True) as client,
    ):
        async with local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob:
            await bob.directory(MODEL).withdraw()  # before the first announcement there is nothing to do
            directory = bob.directory(MODEL)
            for _ in range(2):
                await directory.announce(view_of(bob), 20)
                assert len((await client.directory(MODEL).snapshot()).nodes) == 1
                await directory.withdraw()
                assert (await client.directory(MODEL).snapshot()).nodes == ()
        async with local_peer(tmp_path / "bob", initial_peers=alice.addresses) as restarted:
            await restarted.directory(MODEL).announce(view_of(restarted), 5)  # sooner than the withdrawal ends
            (node,) = (await client.directory(MODEL).snapshot()).nodes
            assert node.peer_id == bob.peer_id


@in_trio(40)
async def test_a_node_that_falls_silent_fades(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
    ):
        directory = alice.directory(MODEL)
        await directory.announce(view_of(alice), 20)
        await bob.directory(MODEL).announce(view_of(bob), 1.5)
        await until_seen(directory, alice, bob)
        with trio.fail_after(3):
            await until_seen(directory, alice)


@in_trio(40)
async def test_an_offline_node_is_in_no_snapshot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "dht.directory")
    async with local_peer(tmp_path / "alice") as alice:
        directory = alice.directory(MODEL)
        await directory.announce(view_of(alice, state=NodeState.OFFLINE), 20)
        assert (await directory.snapshot()).nodes == ()
        assert not left_out(caplog)


@in_trio(40)
async def test_a_node_announces_itself_only(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice, local_peer(tmp_path / "bob") as bob:
        with pytest.raises(ProtocolError, match="itself"):
            await alice.directory(MODEL).announce(view_of(bob), 20)


@in_trio(40)
async def test_a_newcomer_learns_of_nodes_that_announced_before_it_came(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
    ):
        await bob.directory(MODEL).announce(view_of(bob), 20)
        async with local_peer(tmp_path / "carol", initial_peers=alice.addresses) as carol:
            await until_seen(carol.directory(MODEL), bob)


async def store_raw(liar: Peer, victim: Peer, publisher: str, value: bytes, signer: Identity) -> bool:
    """Ask ``victim`` to keep a record in the name of ``publisher`` signed by ``signer``, past all checks of our own."""
    table = liar._entries
    assert isinstance(table, Table)
    expiration = time.time() + 20
    key = DHTID.generate(source=shard_key(f"nodes/{MODEL}", shard_of(publisher)))
    record = DHTRecord(key.to_bytes(), msgpack.packb(publisher), msgpack.packb(value), expiration)
    signed = SignedRecords(signer).sign_value(record)
    (stored,) = await table._thread.run(
        lambda: table._node.protocol.call_store(
            PeerID.from_base58(victim.peer_id), [key], [signed], expiration, subkeys=[publisher]
        )
    )
    return bool(stored)


@in_trio(40)
async def test_a_forged_record_is_refused_by_whoever_is_to_keep_it(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "mallory", initial_peers=alice.addresses) as mallory,
    ):
        directory = alice.directory(MODEL)
        await directory.announce(view_of(alice), 10)
        lie = NodeRecord.from_view(view_of(alice, free_tokens=0)).encode()
        key = Identity.load(tmp_path / "mallory")
        assert not await store_raw(mallory, alice, alice.peer_id, lie, key)
        assert (await directory.snapshot()).nodes == (view_of(alice),)


@in_trio(40)
async def test_a_bad_record_hides_nobody_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "dht.directory")
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "mallory", initial_peers=alice.addresses) as mallory,
    ):
        directory = alice.directory(MODEL)
        await directory.announce(view_of(alice), 20)
        key = Identity.load(tmp_path / "mallory")
        assert await store_raw(mallory, alice, mallory.peer_id, b"\xff garbage", key)
        assert (await directory.snapshot()).nodes == (view_of(alice),)
        assert left_out(caplog) == [mallory.peer_id]


class _OldBoard:
    """A board on which all records are of another version."""

    peer_id = "nobody"

    async def read(self) -> dict[str, Entry]:
        return {"alice": Entry(msgpack.packb([2, "old"]), 2**40)}


@in_trio(5)
async def test_who_can_read_no_record_at_all_is_told_that_versions_may_differ(caplog: pytest.LogCaptureFixture) -> None:
    directory = Directory(cast(Board, _OldBoard()), "a" * 32)
    for _look in range(2):
        assert not (await directory.snapshot()).nodes
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "1 nodes have records that cannot be read here; is one side an older version?"
    ]
