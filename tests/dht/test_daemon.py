"""The daemon lives exactly as long as the peer that owns it, and says clearly why it cannot."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from dht import Identity, open_peer
from process_counters import children
from routing.errors import DaemonError, PortTaken, UsageError
from tests.dht.peers import LOOPBACK, in_trio, local_peer, next_line, python, until_ended

HOLD_A_PEER = """
    import sys, threading
    from pathlib import Path
    import trio
    import dht.table  # a thread that outlives the main one can no longer import it
    from dht import Identity, open_peer

    async def main():
        identity = Identity.load_or_create(Path(sys.argv[1]))
        print("starting", flush=True)
        async with open_peer(identity, host="127.0.0.1"):
            print("started", flush=True)
            await trio.sleep_forever()

    if sys.argv[2] == "thread":
        threading.Thread(target=trio.run, args=(main,)).start()
    else:
        trio.run(main)
"""


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


@in_trio(20)
async def test_a_taken_port_is_named(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(PortTaken, match=f"port {taken_port} .*--port"):
        async with local_peer(tmp_path / "key", port=taken_port):
            pass


@in_trio(20)
async def test_the_port_of_another_daemon_is_taken_too(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice:
        port = int(alice.addresses[0].split("/")[4])
        with pytest.raises(PortTaken, match=str(port)):
            async with local_peer(tmp_path / "bob", port=port):
                pass


@in_trio(20)
async def test_a_port_can_be_used_again_at_once(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "alice") as alice:
        port = int(alice.addresses[0].split("/")[4])
        async with local_peer(tmp_path / "bob", initial_peers=alice.addresses):
            pass
    async with local_peer(tmp_path / "alice", port=port) as again:
        assert again.addresses == alice.addresses


@pytest.mark.parametrize(("host", "reason"), [("example.org", "no IP address"), ("192.0.2.1", "no address of this")])
def test_a_host_that_is_not_this_machine_is_refused(tmp_path: Path, host: str, reason: str) -> None:
    async def main() -> None:
        async with open_peer(Identity.load_or_create(tmp_path / "key"), host=host):
            pass

    with pytest.raises(UsageError, match=reason):
        trio.run(main)


@in_trio(20)
async def test_a_daemon_that_cannot_start_says_why(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path / "key")
    identity.path.write_bytes(b"garbage")
    with pytest.raises(DaemonError, match=r"did not start: .*invalid") as raised:
        async with open_peer(identity, host=LOOPBACK):
            pass
    assert "\n" not in str(raised.value)


@in_trio(20)
async def test_the_death_of_the_daemon_ends_the_peer(tmp_path: Path, started: Callable[[], set[int]]) -> None:
    async def kill_the_daemon() -> None:
        async with local_peer(tmp_path / "key"):
            (daemon,) = started()
            os.kill(daemon, signal.SIGKILL)
            await trio.sleep_forever()

    with pytest.raises(DaemonError, match="ended"):
        await kill_the_daemon()


@in_trio(20)
async def test_an_error_of_the_body_comes_out_as_it_is(tmp_path: Path, started: Callable[[], set[int]]) -> None:
    with pytest.raises(ZeroDivisionError):
        async with local_peer(tmp_path / "key"):
            raise ZeroDivisionError
    assert not started()


@in_trio(20)
async def test_a_cancelled_start_leaves_nothing_behind(tmp_path: Path, started: Callable[[], set[int]]) -> None:
    for seconds in (0.02, 0.15, 0.3, 0.5):
        with trio.move_on_after(seconds):
            async with local_peer(tmp_path / "key"):
                await trio.sleep_forever()
        assert not started()


@pytest.mark.parametrize(
    ("where", "moment"),
    [
        ("main", "started"),
        pytest.param("main", "starting", marks=pytest.mark.slow),
        pytest.param("thread", "started", marks=pytest.mark.slow),
    ],
)
def test_a_killed_process_leaves_no_daemon(tmp_path: Path, where: str, moment: str) -> None:
    async def main(owner: int) -> None:
        with trio.fail_after(10):
            while not (daemons := children({owner})):
                await trio.sleep(0.01)
        os.kill(owner, signal.SIGKILL)
        with trio.fail_after(2):
            await until_ended(daemons)

    with python(HOLD_A_PEER, tmp_path / "key", where) as process:
        while next_line(process) != moment:
            pass
        trio.run(main, process.pid)


def test_the_sockets_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def list_directories() -> list[Path]:
        return list(tmp_path.glob("swarm-*"))

    def check_directory() -> None:
        (directory,) = list_directories()
        assert directory.stat().st_mode & 0o777 == 0o700
        assert (directory / "control.sock").is_socket()

    @in_trio(20)
    async def main() -> None:
        async with local_peer(tmp_path / "key"):
            check_directory()
        assert not list_directories()

    main()


def test_a_long_path_for_temporary_files_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    @in_trio(20)
    async def main() -> None:
        async with local_peer(tmp_path / "key") as peer:
            assert peer.addresses

    main()


def open_files() -> dict[str, str]:
    """What each file descriptor of this process stands for."""
    found = {}
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one by which they are listed
            found[descriptor] = os.readlink(f"/proc/self/fd/{descriptor}")
    return found


@pytest.mark.slow
def test_opening_and_closing_peers_leaks_nothing(tmp_path: Path, started: Callable[[], set[int]]) -> None:
    def held() -> tuple[dict[str, str], list[str], set[int]]:
        threads = [thread.name for thread in threading.enumerate() if not thread.name.startswith("Trio thread")]
        return open_files(), threads, started()

    @in_trio(20)
    async def open_and_close() -> None:
        async with (
            local_peer(tmp_path / "alice") as alice,
            local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
        ):
            await bob.directory("model").snapshot()

    open_and_close()
    gc.collect()  # of what earlier tests of this process have left: freed in between, it would hide a leak
    before = held()
    for _ in range(4):
        open_and_close()
    assert held() == before
    assert not before[2]


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    @in_trio(20)
    async def main() -> None:
        async with (
            local_peer(tmp_path / "alice") as alice,
            local_peer(tmp_path / "bob", initial_peers=alice.addresses) as bob,
        ):
            await bob.directory("model").snapshot()

    main()
    assert capfd.readouterr() == ("", "")
