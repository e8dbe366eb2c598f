"""Joining a swarm: through whoever answers, with a clear word when nobody does, and back again after an outage."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path

import pytest
import trio

import dht.peer
from dht import Identity, Stream
from dht.clock import check_clock
from dht.peer import _published
from routing.errors import ClockSkew, PeerUnreachable, UsageError
from tests.dht.peers import LOOPBACK, in_trio, local_peer, next_line, python, view_of

PROTOCOL = "/swarm-test/1"
MODEL = "fingerprint"


def address(peer_id: str, port: int) -> str:
    return f"/ip4/{LOOPBACK}/tcp/{port}/p2p/{peer_id}"


serve_on_loopback = functools.partial(trio.serve_tcp, port=0, host=LOOPBACK)


def port_of(address: str) -> int:
    return int(address.split("/")[4])


@in_trio(40)
async def test_a_peer_nobody_answers_for_is_named(tmp_path: Path) -> None:
    nobody = address(Identity.create(tmp_path / "nobody").peer_id, 9)
    with pytest.raises(PeerUnreachable, match="connection refused") as raised:
        async with local_peer(tmp_path / "alice", initial_peers=[nobody]):
            pass
    assert nobody in str(raised.value)
    assert "\n" not in str(raised.value)


@in_trio(40)
async def test_another_peer_at_the_address_is_not_taken_for_the_right_one(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice:
        wrong = address(Identity.create(tmp_path / "bob").peer_id, port_of(alice.addresses[0]))
        with pytest.raises(PeerUnreachable, match="another peer answers there"):
            async with local_peer(tmp_path / "carol", initial_peers=[wrong]):
                pass


@in_trio(40)
async def test_something_that_speaks_no_libp2p_is_reported(tmp_path: Path) -> None:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 mail.example.org ESMTP\r\n")
        await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(serve_on_loopback, talk)
        port = listener.socket.getsockname()[1]
        with pytest.raises(PeerUnreachable, match="speaks another protocol"):
            async with local_peer(
                tmp_path / "alice", initial_peers=[address(Identity.create(tmp_path / "x").peer_id, port)]
            ):
                pass
        nursery.cancel_scope.cancel()


@in_trio(40)
async def test_something_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep_silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(dht.peer, "DIAL_SECONDS", 1.0)
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(serve_on_loopback, keep_silent)
        silent = address(Identity.create(tmp_path / "x").peer_id, listener.socket.getsockname()[1])
        with trio.fail_after(8), pytest.raises(PeerUnreachable, match="no answer"):
            async with local_peer(tmp_path / "alice", initial_peers=[silent]):
                pass
        nursery.cancel_scope.cancel()


@in_trio(40)
async def test_one_peer_that_answers_is_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nobody = address(Identity.create(tmp_path / "nobody").peer_id, 9)
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob", initial_peers=[nobody, *alice.addresses]) as bob,
    ):
        await alice.directory(MODEL).announce(view_of(alice), 20)
        assert len((await bob.directory(MODEL).snapshot()).nodes) == 1
    assert f"initial peer {nobody} left out" in caplog.text


@in_trio(40)
async def test_a_malformed_address_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="write it like /ip4/"):
        async with local_peer(tmp_path / "alice", initial_peers=["localhost:31337"]):
            pass


@in_trio(40)
async def test_a_client_needs_somebody_to_ask(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--initial-peers"):
        async with local_peer(tmp_path / "alice", client_only=True):
            pass


@in_trio(40)
async def test_a_client_is_no_entry_to_a_swarm(tmp_path: Path) -> None:
    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "client", initial_peers=alice.addresses, client_only=True) as client,
    ):
        assert client.addresses == ()
        with pytest.raises(PeerUnreachable):
            async with local_peer(tmp_path / "bob", initial_peers=[address(client.peer_id, 9)]):
                pass


@in_trio(40)
async def test_a_peers_own_address_among_the_initial_ones_does_no_harm(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice:
        own = address(Identity.create(tmp_path / "bob").peer_id, 9)
        async with local_peer(tmp_path / "bob", initial_peers=[own, *alice.addresses]):
            pass
        with pytest.raises(UsageError, match="this peer itself"):
            async with local_peer(tmp_path / "bob", initial_peers=[own]):
                pass


@in_trio(40)
async def test_a_client_can_open_streams_to_peers_it_has_no_address_of(tmp_path: Path) -> None:
    async def greet(stream: Stream) -> None:
        await stream.send_all(b"hello")

    async with (
        local_peer(tmp_path / "alice") as alice,
        local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
        local_peer(tmp_path / "client", initial_peers=alice.addresses, client_only=True) as client,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(bob.serve, PROTOCOL, greet)
        stream = await client.open_stream(bob.peer_id, (), PROTOCOL, 10)
        assert await stream.receive_exactly(5) == b"hello"
        nursery.cancel_scope.cancel()


WITH_A_WRONG_CLOCK = """
    import sys, time
    from pathlib import Path

    right = time.time
    time.time = lambda: right() + float(sys.argv[3])

    import trio
    from dht import Identity, open_peer
    from routing.errors import SwarmError

    async def main():
        async with open_peer(Identity.load_or_create(Path(sys.argv[1])), host="127.0.0.1", initial_peers=sys.argv[2:3]):
            pass

    try:
        trio.run(main)
    except SwarmError as error:
        print(f"{type(error).__name__}: {error}")
    else:
        print("joined")
"""


@in_trio(60)
@pytest.mark.slow
async def test_a_wrong_clock_is_reported_with_how_wrong_it_is(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice:
        with python(WITH_A_WRONG_CLOCK, tmp_path / "bob", alice.addresses[0], "60") as process:
            output, errors = await trio.to_thread.run_sync(process.communicate)
    assert output.startswith("ClockSkew: this machine's clock is 60 s ahead of that of peer")
    assert errors == ""


def test_clocks_may_differ_a_little_but_not_much() -> None:
    peer_id, now = "12D3KooWFAeNYeXKe7ghqYVkBUB6JUzj1xDr78feuSeaUgHVkCQa", 1e9
    for theirs in (now, now - 2.9, now + 2.9):
        check_clock(peer_id, theirs, now, now + 0.1)
    with pytest.raises(ClockSkew, match=r"3600 s behind that of peer .*timedatectl"):
        check_clock(peer_id, now + 3600, now, now + 0.1)
    with pytest.raises(ClockSkew, match="4 s ahead of"):
        check_clock(peer_id, now - 4, now, now + 0.1)


@pytest.mark.slow
@in_trio(60)
async def test_a_swarm_heals_when_its_first_node_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht.peer, "REJOIN_SECONDS", 0.3)
    monkeypatch.setattr(dht.peer, "ALONE_SECONDS", 0.3)

    async def run_alice(task_status: trio.TaskStatus[tuple[str, trio.CancelScope]]) -> None:
        with trio.CancelScope() as scope:
            async with local_peer(tmp_path / "alice") as alice:
                task_status.started((alice.addresses[0], scope))
                await trio.sleep_forever()
        gone.set()

    gone = trio.Event()
    async with trio.open_nursery() as nursery:
        address, scope = await nursery.start(run_alice)
        async with local_peer(tmp_path / "bob", initial_peers=[address]) as bob:
            scope.cancel()
            await gone.wait()
            directory = bob.directory(MODEL)
            await directory.announce(view_of(bob), 20)
            async with local_peer(tmp_path / "alice", port=port_of(address)) as again:
                with trio.fail_after(10):
                    while not (await again.directory(MODEL).snapshot()).nodes:
                        await trio.sleep(0.1)


ANNOUNCE_AND_WAIT = """
    import sys
    from pathlib import Path
    import trio
    from dht import Identity, open_peer
    from tests.dht.peers import view_of

    async def main():
        async with open_peer(
            Identity.load_or_create(Path(sys.argv[1])), host="127.0.0.1", initial_peers=sys.argv[2:3]
        ) as peer:
            await peer.directory("fingerprint").announce(view_of(peer), 4)
            print(peer.peer_id, flush=True)
            await trio.sleep_forever()

    trio.run(main)
"""


@in_trio(60)
@pytest.mark.slow
async def test_a_killed_node_fades_when_its_record_expires(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice:
        directory = alice.directory(MODEL)
        with python(ANNOUNCE_AND_WAIT, tmp_path / "bob", alice.addresses[0]) as process:
            await trio.to_thread.run_sync(next_line, process)
            assert len((await directory.snapshot()).nodes) == 1
            os.kill(process.pid, signal.SIGKILL)
            with trio.fail_after(6):
                while (await directory.snapshot()).nodes:
                    await trio.sleep(0.05)


def test_the_most_useful_addresses_come_first() -> None:
    transports = [
        "/ip4/127.0.0.1/tcp/1",
        "/ip6/fe80::1/tcp/1",
        "/ip4/0.0.0.0/tcp/1",
        "/ip4/192.168.1.2/tcp/1",
        "/ip4/8.8.8.8/tcp/1",
        "/unix/run/socket",
    ]
    assert _published(transports, "P") == ("/ip4/8.8.8.8/tcp/1/p2p/P", "/ip4/192.168.1.2/tcp/1/p2p/P")
    assert _published(transports[:3], "P") == ("/ip4/127.0.0.1/tcp/1/p2p/P",)
    assert _published([], "P") == ()
