"""A client hears from members what lies in the hash table: one may leave out, none can invent, and none is needed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgpack
import pytest
import trio

import dht.enquiry.desk
import dht.peer
from dht import Identity, NodeRecord, Peer
from dht.enquiry import ENQUIRY_PROTOCOL, Desk
from dht.enquiry.messages import receive_reply, send_question
from dht.entry import Entry, key_id, sign, verified
from dht.settings import QUESTION_BYTES
from routing.errors import StreamClosed
from tests.dht.peers import ROOT, in_trio, local_peer, view_of

MODEL = "fingerprint"
KEYS = ("one", "two")


def entry_of(identity: Identity, key: str, value: bytes, seconds: float = 20.0) -> Entry:
    packed, until = msgpack.packb(value), time.time() + seconds
    return Entry(value, until, sign(identity, key_id(key), msgpack.packb(identity.peer_id), packed, until))


def test_what_a_peer_has_signed_holds_for_one_key_one_peer_and_one_time(tmp_path: Path) -> None:
    alice, bob = Identity.create(tmp_path / "alice"), Identity.create(tmp_path / "bob")
    entry = entry_of(alice, "key", b"value")
    assert verified(key_id("key"), alice.peer_id, entry.signed, entry.expiration) == entry
    assert verified(key_id("other"), alice.peer_id, entry.signed, entry.expiration) is None
    assert verified(key_id("key"), alice.peer_id, entry.signed, entry.expiration + 1) is None
    assert verified(key_id("key"), bob.peer_id, entry.signed, entry.expiration) is None


class Told:
    """Entries by which a node answers, whatever it is asked; ``say`` makes them of the key that was asked for."""

    def __init__(self, say: Callable[[str], dict[str, Entry]]) -> None:
        self.peer_id = ""
        self.asked = 0
        self._say = say

    async def store(self, key: str, value: bytes, expiration: float) -> bool:
        raise AssertionError("a client publishes nothing")

    async def get(self, keys: Sequence[str]) -> list[dict[str, Entry]]:
        self.asked += 1
        return [self._say(key) for key in keys]


@asynccontextmanager
async def teller(identity: Path, told: Told, initial_peers: Sequence[str] = ()) -> AsyncIterator[Peer]:
    """A member that answers clients by ``told`` and not by what lies in the hash table."""
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dht.peer, "Desk", lambda table: Desk(told))
            peer = await stack.enter_async_context(local_peer(identity, initial_peers=initial_peers))
        yield peer


@in_trio(40)
async def test_what_one_node_leaves_out_another_tells(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        teller(tmp_path / "mallory", Told(lambda key: {}), alice.addresses) as mallory,
        local_peer(
            tmp_path / "client", initial_peers=[*mallory.addresses, *alice.addresses], client_only=True
        ) as client,
    ):
        await alice.directory(MODEL).announce(view_of(alice), 20)
        assert (await client.directory(MODEL).snapshot()).nodes == (view_of(alice),)


@in_trio(40)
async def test_what_a_node_invents_of_another_is_not_believed(tmp_path: Path) -> None:
    victim, liar = Identity.create(tmp_path / "victim"), Identity.create(tmp_path / "mallory")

    def lie(key: str) -> dict[str, Entry]:
        record = NodeRecord.from_view(view_of(alice, peer_id=victim.peer_id, addresses=())).encode()
        return {victim.peer_id: entry_of(liar, key, record)}

    async with (
        local_peer(tmp_path / "alice") as alice,
        teller(tmp_path / "mallory", Told(lie), alice.addresses) as mallory,
        local_peer(tmp_path / "client", initial_peers=mallory.addresses, client_only=True) as client,
    ):
        assert (await client.directory(MODEL).snapshot()).nodes == ()


class Leaving:
    """A member that leaves when it is told to."""

    def __init__(self, identity: Path) -> None:
        self._identity = identity
        self._scope = trio.CancelScope()
        self._gone = trio.Event()

    async def run(self, task_status: trio.TaskStatus[Peer]) -> None:
        with self._scope:
            async with local_peer(self._identity) as peer:
                task_status.started(peer)
                await trio.sleep_forever()
        self._gone.set()

    async def leave(self) -> None:
        self._scope.cancel()
        await self._gone.wait()


@in_trio(60)
async def test_a_client_goes_on_with_nodes_it_has_met_when_the_first_is_gone(tmp_path: Path) -> None:
    first = Leaving(tmp_path / "alice")
    async with trio.open_nursery() as nursery:
        alice = await nursery.start(first.run)
        async with (
            local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
            local_peer(tmp_path / "client", initial_peers=alice.addresses, client_only=True) as client,
        ):
            await bob.directory(MODEL).announce(view_of(bob), 60)
            directory = client.directory(MODEL)
            assert (await directory.snapshot()).nodes == (view_of(bob),)
            await first.leave()
            assert (await directory.snapshot()).nodes == (view_of(bob),)


@in_trio(40)
async def test_a_client_whom_nobody_answers_sees_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Leaving(tmp_path / "alice")
    async with trio.open_nursery() as nursery:
        alice = await nursery.start(first.run)
        async with local_peer(tmp_path / "client", initial_peers=alice.addresses, client_only=True) as client:
            await alice.directory(MODEL).announce(view_of(alice), 20)
            await first.leave()
            assert (await client.directory(MODEL).snapshot()).nodes == ()
    assert "no peer of the swarm answers" in caplog.text


async def ask(client: Peer, alice: Peer, keys: Sequence[str]) -> None:
    stream = await client.open_stream(alice.peer_id, alice.addresses, ENQUIRY_PROTOCOL, 5)
    try:
        await send_question(stream, keys)
        await receive_reply(stream, len(keys))
    finally:
        stream.close()


@in_trio(40)
async def test_a_question_that_is_too_long_or_too_much_ends_its_stream_only(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "client", initial_peers=alice.addresses, client_only=True) as client,
    ):
        for keys in (["x" * QUESTION_BYTES], ["x"] * 100):
            with pytest.raises(StreamClosed):
                await ask(client, alice, keys)
        await ask(client, alice, KEYS)


@in_trio(40)
async def test_one_peer_has_only_so_many_questions_open_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dht.enquiry.desk, "ENQUIRIES_OF_PEER", 1)
    asked, going_on = trio.Event(), trio.Event()

    class Slow(Told):
        async def get(self, keys: Sequence[str]) -> list[dict[str, Entry]]:
            asked.set()
            await going_on.wait()
            return await super().get(keys)

    async with (
        teller(tmp_path / "alice", Slow(lambda key: {})) as alice,
        local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
        local_peer(tmp_path / "client", initial_peers=alice.addresses, client_only=True) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(ask, client, alice, KEYS)
        await asked.wait()
        with pytest.raises(StreamClosed):
            await ask(client, alice, ())
        await ask(bob, alice, ())
        going_on.set()


@in_trio(40)
async def test_a_peer_that_asks_too_often_is_answered_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht.enquiry.desk, "ENQUIRIES_PER_SECOND", 4.0)
    monkeypatch.setattr(dht.enquiry.desk, "ENQUIRIES_BURST", 2.0)
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "client", initial_peers=alice.addresses, client_only=True) as client,
    ):
        before = trio.current_time()
        for _ in range(4):
            await ask(client, alice, KEYS)
        assert trio.current_time() - before > 0.4


@in_trio(10)
async def test_who_asks_while_a_lookup_runs_shares_the_next() -> None:
    going_on = trio.Event()

    class Slow(Told):
        async def get(self, keys: Sequence[str]) -> list[dict[str, Entry]]:
            found = await super().get(keys)
            await going_on.wait()
            return found

    told = Slow(lambda key: {})
    desk = Desk(told)
    async with trio.open_nursery() as nursery:
        for moment in range(5):
            nursery.start_soon(desk._found, KEYS)
            await trio.sleep(0.01 * moment)
        going_on.set()
    assert told.asked == 2


def test_a_client_needs_neither_hivemind_nor_torch() -> None:
    code = "import dht, sys; print(sorted({'torch', 'hivemind.dht', 'asyncio'} & {*sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.slow
def test_hivemind_is_whole_for_whoever_imports_it_afterwards() -> None:
    code = "import dht.table, hivemind; print(hivemind.DHT.__name__, hivemind.p2p.P2P.__name__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["DHT", "P2P"]
