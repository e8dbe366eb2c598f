"""The network of the test bed: what it does to packets, and that nothing of it stays behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from routing.errors import NetworkError, UsageError
from testbed import wan_namespaces as namespaces
from testbed.wan import Wan, delays_from_rtts
from testbed.wan_links import QUEUE_SECONDS, Links
from tests.scripts.needs import NAMESPACES

PREFIX = "wantest"
RATE = 100e6
THERE, BACK = 0.03, 0.05
DELAYS = [[0.0, THERE], [BACK, 0.0]]
SECONDS = 20.0
"""For anything to happen."""

SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], 5000))
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(connection.recv(1))
    connection.close()
"""
CLIENT = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 5000), timeout=float(sys.argv[2])) as connection:
    start = time.monotonic()
    connection.sendall(b"x")
    connection.recv(1)
    print(time.monotonic() - start)
"""
OWNER = """
import subprocess, sys
from testbed.wan import Wan
with Wan(2, [[0.0, 0.0], [0.0, 0.0]], 1e8, 0.0, prefix=sys.argv[1]) as wan:
    node = subprocess.Popen(wan.command(0, ["sh", "-c", "echo inside; exec sleep 600"]), stdout=subprocess.PIPE)
    node.stdout.readline()
    print(wan.forwarder, node.pid, flush=True)
    sys.stdin.read()
"""


class Hosts:
    """Takes down what is delivered; time stands still until it is set."""

    def __init__(self, delays: list[list[float]], rate_bits: float = RATE, loss: float = 0.0) -> None:
        self.links = Links(delays, rate_bits, loss)
        self.got: list[tuple[int, bytes]] = []

    def deliver(self, now: float) -> float | None:
        return self.links.deliver(lambda: now, self._take)

    def _take(self, host: int, packet: bytes) -> bool:
        self.got.append((host, packet))
        return True


def test_a_packet_arrives_once_it_is_sent_at_the_links_rate_and_the_delay_has_passed() -> None:
    hosts = Hosts(DELAYS, rate_bits=8000.0)
    hosts.links.accept(0, 1, bytes(100), now=10.0)
    hosts.links.accept(0, 1, bytes(200), now=10.0)

    assert hosts.deliver(10.0) == pytest.approx(0.1 + THERE)
    assert hosts.deliver(10.12) == pytest.approx(0.01) and not hosts.got
    assert hosts.deliver(10.131) == pytest.approx(0.199)
    assert hosts.deliver(10.331) is None
    assert hosts.got == [(1, bytes(100)), (1, bytes(200))]


def test_a_full_queue_turns_packets_away() -> None:
    hosts = Hosts(DELAYS)
    for _ in range(10_000):
        hosts.links.accept(0, 1, bytes(1000), now=0.0)
    hosts.deliver(1e9)

    assert len(hosts.got) == pytest.approx(QUEUE_SECONDS * RATE / 8000, abs=2)
    assert hosts.links.traffic().overflowed == 10_000 - len(hosts.got)


def test_packets_keep_their_order_when_the_delay_shrinks() -> None:
    hosts = Hosts(DELAYS)
    hosts.links.accept(0, 1, b"first", now=0.0)
    hosts.links[0, 1].delay = 0.0
    hosts.links.accept(0, 1, b"second", now=0.0)
    hosts.deliver(1.0)

    assert hosts.got == [(1, b"first"), (1, b"second")]


def test_the_share_given_is_lost() -> None:
    hosts = Hosts(DELAYS, rate_bits=float("inf"), loss=0.2)
    for _ in range(5000):
        hosts.links.accept(0, 1, b"x", now=0.0)
    hosts.deliver(1.0)

    assert 0.75 < len(hosts.got) / 5000 < 0.85
    assert hosts.links.traffic().lost == 5000 - len(hosts.got)


def test_delays_are_half_the_round_trips_drawn_and_alike_both_ways() -> None:
    delays = np.array(delays_from_rtts([0.01, 0.04], 30, np.random.default_rng(1)))

    assert (delays == delays.T).all()
    assert (np.diag(delays) == 0).all()
    assert set(delays[np.triu_indices(30, 1)]) == {0.005, 0.02}


@pytest.mark.parametrize(
    ("hosts", "delays", "rate", "loss"),
    [(3, DELAYS, RATE, 0.0), (2, [[0.0, -1.0], [0.0, 0.0]], RATE, 0.0), (2, DELAYS, 0.0, 0.0), (2, DELAYS, RATE, 1.5)],
)
def test_a_network_that_cannot_be_is_refused(hosts: int, delays: list[list[float]], rate: float, loss: float) -> None:
    with pytest.raises(UsageError):
        Wan(hosts, delays, rate, loss)


def test_other_users_than_root_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(UsageError, match=r"^the test bed needs root: .*sudo$"), Wan(2, DELAYS, RATE, 0.0):
        pass


@pytest.fixture(scope="module")
def wan() -> Iterator[Wan]:
    """Two hosts with DELAYS between them and a server on host 1; a test leaves it as it was."""
    with Wan(2, DELAYS, RATE, 0.0, PREFIX) as running, echo(running, 1):
        yield running


@NAMESPACES
def test_a_round_trip_takes_the_delay_there_and_the_delay_back(wan: Wan) -> None:
    assert THERE + BACK <= round_trip(wan, 0, 1) < THERE + BACK + 0.5
    assert wan.traffic().packets > 0


@NAMESPACES
def test_a_delay_can_be_changed_while_the_network_runs(wan: Wan) -> None:
    wan.set_delay(1, 0, 0.2)
    assert round_trip(wan, 0, 1) >= THERE + 0.2
    wan.set_delay(1, 0, BACK)


@NAMESPACES
def test_a_host_that_is_cut_off_is_unreachable_until_it_is_healed(wan: Wan) -> None:
    wan.cut(1)
    with pytest.raises(subprocess.CalledProcessError) as failure:
        round_trip(wan, 0, 1, seconds=0.3)
    assert "TimeoutError" in failure.value.stderr
    assert wan.traffic().cut > 0

    wan.heal(1)
    assert round_trip(wan, 0, 1) >= THERE + BACK


@NAMESPACES
def test_two_test_beds_run_side_by_side(wan: Wan) -> None:
    with Wan(2, [[0.0, 0.0], [0.0, 0.0]], RATE, 0.0, PREFIX) as second, echo(second, 1):
        assert round_trip(second, 0, 1) < THERE + BACK
    assert round_trip(wan, 0, 1) >= THERE + BACK


@NAMESPACES
def test_nothing_is_left_after_an_error() -> None:
    wan = Wan(2, DELAYS, RATE, 0.0, PREFIX)
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ZeroDivisionError))
        stack.enter_context(wan)
        forwarder = wan.forwarder
        assert len(namespaces.existing(PREFIX, forwarder)) == 2
        stack.callback(lambda: 1 // 0)

    assert namespaces.existing(PREFIX, forwarder) == []
    assert not Path(f"/proc/{forwarder}").exists()


@NAMESPACES
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_owner_is_killed(number: signal.Signals) -> None:
    with owner() as (process, forwarder, node):
        with ended(forwarder), ended(node):
            process.send_signal(number)

        assert namespaces.existing(PREFIX, forwarder) == []


@NAMESPACES
def test_a_network_that_died_says_so_and_leaves_nothing() -> None:
    with Wan(2, DELAYS, RATE, 0.0, PREFIX) as wan:
        forwarder = wan.forwarder
        with ended(forwarder):
            os.kill(forwarder, signal.SIGKILL)
        with pytest.raises(NetworkError, match="has ended"):
            wan.cut(1)

    assert namespaces.existing(PREFIX, forwarder) == []


@NAMESPACES
def test_what_a_killed_test_bed_left_is_removed_by_the_next() -> None:
    with owner() as (process, forwarder, node):
        with ended(forwarder):
            os.kill(forwarder, signal.SIGKILL)
        process.kill()
        process.wait(SECONDS)
        assert len(namespaces.existing(PREFIX, forwarder)) == 2

        with ended(node), Wan(2, DELAYS, RATE, 0.0, PREFIX):
            assert namespaces.existing(PREFIX, forwarder) == []


@contextmanager
def echo(wan: Wan, host: int) -> Iterator[None]:
    """A server on the host that sends back one byte."""
    command = wan.command(host, [sys.executable, "-I", "-S", "-c", SERVER, wan.address(host)])
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        yield
        process.kill()


def round_trip(wan: Wan, source: int, destination: int, seconds: float = SECONDS) -> float:
    """Seconds."""
    program = [sys.executable, "-I", "-S", "-c", CLIENT, wan.address(destination), str(seconds)]
    result = subprocess.run(
        wan.command(source, program), capture_output=True, text=True, check=True, timeout=SECONDS + seconds
    )
    return float(result.stdout)


@contextmanager
def owner() -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A process with a test bed, and the ids of its forwarder and of a program on one of its hosts."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, PREFIX],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        forwarder, node = map(int, process.stdout.readline().split())
        yield process, forwarder, node
        process.kill()


@contextmanager
def ended(process: int) -> Iterator[None]:
    """Leaving waits for the end of a process that exists on entering, and fails if it does not come."""
    descriptor = os.pidfd_open(process)
    try:
        yield
        ready, _, _ = select.select([descriptor], [], [], SECONDS)
        assert ready, f"process {process} lives on"
    finally:
        os.close(descriptor)
