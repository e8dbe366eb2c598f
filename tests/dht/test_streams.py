"""Streams between two real peers: whole, ordered, from who they say they are, and ended by either side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from dht import Stream
from routing.errors import PeerUnreachable, ProtocolError, StreamClosed, UsageError
from tests.dht.peers import in_trio, local_peer

PROTOCOL = "/swarm-test/1"


async def echo(stream: Stream) -> None:
    while True:
        count = int.from_bytes(await stream.receive_exactly(4), "big")
        await stream.send_all(await stream.receive_exactly(count))


@in_trio(30)
async def test_a_mebibyte_comes_back_as_it_was(tmp_path: Path) -> None:
    data = os.urandom(2**20)
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob") as bob,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(bob.serve, PROTOCOL, echo)
        stream = await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
        for payload in (data, b"", data[:70_000], data[:5]):
            await stream.send_all(len(payload).to_bytes(4, "big"), payload[:3], memoryview(payload)[3:])
            assert await stream.receive_exactly(len(payload)) == payload
        await stream.aclose()
        nursery.cancel_scope.cancel()


@in_trio(30)
async def test_both_ends_know_whom_they_talk_to(tmp_path: Path) -> None:
    callers: list[str] = []

    async def note(stream: Stream) -> None:
        callers.append(stream.peer_id)
        await stream.send_all(b"!")

    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob") as bob,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(bob.serve, PROTOCOL, note)
        stream = await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
        assert stream.peer_id == bob.peer_id
        await stream.receive_exactly(1)
        assert callers == [alice.peer_id]
        nursery.cancel_scope.cancel()


@in_trio(30)
async def test_the_end_of_a_stream_tells_whether_something_was_cut_off(tmp_path: Path) -> None:
    async def say_ten_bytes(stream: Stream) -> None:
        await stream.send_all(bytes(10))

    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob") as bob,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(bob.serve, PROTOCOL, say_ten_bytes)

        between = await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
        await between.receive_exactly(10)
        with pytest.raises(StreamClosed, match="has ended the stream"):
            await between.receive_exactly(1)

        for count in (11, 100_000):
            within = await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
            with pytest.raises(StreamClosed, match=f"after 10 of {count} bytes"):
                await within.receive_exactly(count)
        nursery.cancel_scope.cancel()


@in_trio(30)
async def test_a_cancelled_send_closes_the_stream_and_a_cancelled_receive_loses_nothing(tmp_path: Path) -> None:
    received_end = trio.Event()

    async def send_slowly(stream: Stream) -> None:
        await stream.send_all(bytes(100_000))
        await stream.receive_exactly(1)
        await stream.send_all(bytes(99_999) + b"x")
        await stream.receive_exactly(1)
        await trio.sleep(0.2)  # does not read while alice sends more than the way can hold
        try:
            await stream.receive_exactly(2**24)
        except StreamClosed:
            received_end.set()

    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob") as bob,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(bob.serve, PROTOCOL, send_slowly)
        stream = await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)

        with trio.move_on_after(0.5) as receiving:
            await stream.receive_exactly(200_000)
        assert receiving.cancelled_caught
        await stream.send_all(b"go on")
        whole = await stream.receive_exactly(200_000)
        assert whole == bytes(199_999) + b"x"

        with trio.move_on_after(0.05) as sending:
            while True:
                await stream.send_all(bytes(2**22))
        assert sending.cancelled_caught
        with pytest.raises(StreamClosed):
            await stream.send_all(b"more")
        with pytest.raises(StreamClosed):
            await stream.receive_exactly(1)
        await received_end.wait()
        nursery.cancel_scope.cancel()


@in_trio(30)
async def test_two_tasks_do_not_mix_what_they_send(tmp_path: Path) -> None:
    letters = b"abcd"
    size = 300_000

    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob") as bob,
        trio.open_nursery() as nursery,
    ):
        received: list[bytes] = []

        async def collect(stream: Stream) -> None:
            for _ in letters:
                received.append(bytes(await stream.receive_exactly(size)))
            nursery.cancel_scope.cancel()

        await nursery.start(bob.serve, PROTOCOL, collect)
        stream = await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
        for letter in letters:
            nursery.start_soon(stream.send_all, bytes([letter]) * 100, bytes([letter]) * (size - 100))
    assert sorted(received) == [bytes([letter]) * size for letter in letters]


@in_trio(30)
async def test_a_stream_that_breaks_the_rules_ends_alone(tmp_path: Path) -> None:
    async def refuse_odd_numbers(stream: Stream) -> None:
        if (await stream.receive_exactly(1))[0] % 2:
            raise ProtocolError("odd")
        await stream.send_all(b"even")
        await stream.receive_exactly(1)

    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob") as bob,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(bob.serve, PROTOCOL, refuse_odd_numbers)
        good = await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
        bad = await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
        await bad.send_all(b"\x01")
        with pytest.raises(StreamClosed):
            await bad.receive_exactly(1)
        await good.send_all(b"\x02")
        assert await good.receive_exactly(4) == b"even"
        nursery.cancel_scope.cancel()


@in_trio(30)
async def test_a_handler_with_a_defect_is_not_hidden(tmp_path: Path) -> None:
    async def broken(stream: Stream) -> None:
        raise RuntimeError("defect")

    async with local_peer(tmp_path / "alice") as alice, local_peer(tmp_path / "bob") as bob:
        with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="defect"), flatten_subgroups=True):
            async with trio.open_nursery() as nursery:
                await nursery.start(bob.serve, PROTOCOL, broken)
                await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
                await trio.sleep_forever()


@in_trio(30)
async def test_a_stream_that_cannot_be_opened_tells_why(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice:
        async with local_peer(tmp_path / "bob") as bob:
            with pytest.raises(PeerUnreachable, match="does not serve this"):
                await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
        with pytest.raises(PeerUnreachable, match=r"connection refused|no answer when it was tried"):
            await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
        with pytest.raises(PeerUnreachable, match="this peer itself"):
            await alice.open_stream(alice.peer_id, alice.addresses, PROTOCOL, 5)
        with pytest.raises(UsageError, match="no peer id"):
            await alice.open_stream("bob", bob.addresses, PROTOCOL, 5)
        with pytest.raises(UsageError, match="not a peer's address"):
            await alice.open_stream(bob.peer_id, ["example.org:80"], PROTOCOL, 5)


@in_trio(30)
async def test_the_death_of_a_peer_is_seen_at_once(tmp_path: Path) -> None:
    connected = trio.Event()

    async def wait(stream: Stream) -> None:
        connected.set()
        await trio.sleep_forever()

    async with local_peer(tmp_path / "alice") as alice:
        async with local_peer(tmp_path / "bob") as bob, trio.open_nursery() as nursery:
            await nursery.start(bob.serve, PROTOCOL, wait)
            stream = await alice.open_stream(bob.peer_id, bob.addresses, PROTOCOL, 5)
            await connected.wait()
            nursery.cancel_scope.cancel()
        with trio.fail_after(2), pytest.raises(StreamClosed):
            await stream.receive_exactly(1)
