"""A swarm of nodes that do nothing but announce themselves, for measuring the directory: real peers on loopback.

Ten of them share a Python process, since each process is mostly imports; each has a libp2p daemon of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import trio
from typer import Argument

from bench import program
from dht import Directory, Identity, Peer, open_peer
from routing import NodeState, NodeView, Span
from routing.errors import NetworkError
from swarm_node.settings import ANNOUNCE_SECONDS, RECORD_SECONDS

MODEL, BLOCKS, SPAN_BLOCKS = "0" * 64, 32, 8
PEERS_PER_PROCESS = 10
START_SECONDS, STOP_SECONDS = 180.0, 10.0
"""For a process's peers to join, for a process to end."""


class Swarm:
    """Running nodes. Owned by ``open_swarm``, which ends them."""

    def __init__(self, nodes: int, folder: Path) -> None:
        self.nodes = nodes
        self._folder = folder
        self._processes: list[trio.Process] = []
        self._initial_peers: list[str] = []

    async def start(self) -> None:
        """Return when all nodes have announced themselves.

        Process after process, since each import fills a core. None announces itself before the last has joined: that
        would only take the machine from those that start.
        """
        for first in range(0, self.nodes, PEERS_PER_PROCESS):
            count = min(PEERS_PER_PROCESS, self.nodes - first)
            process = await trio.lowlevel.open_process(
                program("announcing_nodes", first, count, self._folder, *self._initial_peers),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(self._folder)},
                start_new_session=True,  # Ctrl-C is for us: they end with their standard input
            )
            self._processes.append(process)
            with trio.fail_after(START_SECONDS):
                self._initial_peers = await _answer(process)
        await self.announced()

    async def stop(self) -> None:
        """End all processes, by force if they take long. Not stopped by cancellation."""
        with trio.CancelScope(shield=True):
            for process in self._processes:
                assert process.stdin is not None
                await process.stdin.aclose()
            with trio.move_on_after(STOP_SECONDS):
                for process in self._processes:
                    await process.wait()
            for process in self._processes:
                process.kill()
                await process.wait()

    async def announced(self) -> tuple[list[float], int]:
        """Seconds of every announcement since the last call, and how many more failed."""
        taken: list[float] = []
        failed = 0
        for process in self._processes:
            assert process.stdin is not None
            await process.stdin.send_all(b".")
            some, failures = await _answer(process)
            taken += some
            failed += failures
        return taken, failed

    def process_ids(self) -> set[int]:
        return {process.pid for process in self._processes}

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Peer]:
        """A client that nobody has seen before, through the first node."""
        with TemporaryDirectory(dir=self._folder) as folder:
            identity = Identity.create(Path(folder) / "client")
            async with open_peer(identity, initial_peers=self._initial_peers, client_only=True) as peer:
                yield peer


@asynccontextmanager
async def open_swarm(nodes: int) -> AsyncIterator[Swarm]:
    """So many nodes. Their processes end with the body, or with this process, since either closes their input."""
    with TemporaryDirectory(prefix="bench-dht-") as folder:
        swarm = Swarm(nodes, Path(folder))
        try:
            await swarm.start()
            yield swarm
        finally:
            await swarm.stop()


async def _answer(process: trio.Process) -> Any:
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        data = await process.stdout.receive_some()
        if not data:
            raise RuntimeError("a process with nodes has ended; its last words are above")
        line += data
    return json.loads(line)


class Announcing:
    """A node at rest, as the directory sees it: it announces itself again and again. Keeps how long that took."""

    def __init__(self, directory: Directory, view: NodeView) -> None:
        self.seconds: list[float] = []
        self.failed = 0
        self.tried = trio.Event()
        self._directory = directory
        self._view = view

    async def once(self) -> None:
        started = perf_counter()
        try:
            await self._directory.announce(self._view, RECORD_SECONDS)
        except NetworkError:
            self.failed += 1
        else:
            self.seconds.append(perf_counter() - started)
        self.tried.set()

    async def run(self, phase: float) -> None:
        """Announce now, in ``phase`` seconds and from then on like a node, until cancelled."""
        await self.once()
        await trio.sleep(phase)  # nodes of a swarm have not started at the same moment
        while True:
            await self.once()
            await trio.sleep(ANNOUNCE_SECONDS)


async def serve(numbers: range, folder: Path, initial_peers: list[str]) -> None:
    """Run nodes until standard input ends.

    Prints the initial peers for others once all have joined, and for each byte of its input the seconds that
    announcements took since the byte before, and how many failed. The first byte is what they begin to announce at.
    """
    nodes: list[Announcing] = []
    begin = trio.Event()
    async with trio.open_nursery() as nursery, trio.lowlevel.FdStream(os.dup(0)) as requests:
        nursery.start_soon(_start_nodes, nursery, numbers, folder, initial_peers, begin, nodes)
        while await requests.receive_some(1):
            begin.set()
            for node in nodes:
                await node.tried.wait()
            taken = [seconds for node in nodes for seconds in node.seconds]
            print(json.dumps([taken, sum(node.failed for node in nodes)]), flush=True)
            for node in nodes:
                node.seconds.clear()
                node.failed = 0
        nursery.cancel_scope.cancel()


async def _start_nodes(
    nursery: trio.Nursery,
    numbers: range,
    folder: Path,
    initial_peers: list[str],
    begin: trio.Event,
    nodes: list[Announcing],
) -> None:
    for index, number in enumerate(numbers):
        phase = index / len(numbers) * ANNOUNCE_SECONDS
        address, node = await nursery.start(_run_node, number, folder, initial_peers, begin, phase)
        nodes.append(node)
        initial_peers = initial_peers or [address]
    print(json.dumps(initial_peers), flush=True)


async def _run_node(
    number: int,
    folder: Path,
    initial_peers: list[str],
    begin: trio.Event,
    phase: float,
    task_status: trio.TaskStatus[tuple[str, Announcing]],
) -> None:
    """A node as the directory knows it. Started with its address, once it has joined."""
    identity = Identity.load_or_create(folder / f"node{number}")
    async with open_peer(identity, host="127.0.0.1", initial_peers=initial_peers) as peer:
        announcing = Announcing(peer.directory(MODEL), _view(peer, number))
        task_status.started((peer.addresses[0], announcing))
        await begin.wait()
        await announcing.run(phase)


def _view(peer: Peer, number: int) -> NodeView:
    start = number * 7 % (BLOCKS - SPAN_BLOCKS + 1)
    return NodeView(
        peer_id=peer.peer_id,
        addresses=peer.addresses,
        state=NodeState.ONLINE,
        span=Span(start, start + SPAN_BLOCKS),
        memory_bytes=8 * 2**30,
        block_bytes=400 * 2**20,
        token_bytes=16384,
        cache_tokens=300_000,
        free_tokens=250_000 + number,
        prefill_seconds=1.1e-4 + number * 1e-7,
        decode_seconds=2.3e-4 + number * 1e-7,
        running=number % 5,
        version="0.1.0",
    )


def main(first: int, count: int, folder: Path, initial_peers: Annotated[list[str] | None, Argument()] = None) -> None:
    """Some of a swarm's nodes, as one process."""
    trio.run(serve, range(first, first + count), folder, initial_peers or [])
