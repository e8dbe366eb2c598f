"""How fast a client reads a swarm's directory, and what nodes pay to keep it, from ten nodes to a hundred.

    python scripts/bench dht [--nodes 10 --nodes 25 --nodes 50 --nodes 100] [--seconds 24] [--out build/bench_dht]

Real peers on loopback, each with a libp2p daemon of its own, announce records as nodes do. Once they have all done so,
the swarm rests for a record's life. Then fresh clients join and read; then the nodes announce for a while with nobody
reading; then one client reads every 5 s meanwhile. Linux only. Written: directory.csv and
directory.png, anew after each node count.

Bytes are what the kernel counts at each TCP socket of a daemon: encryption included, TCP and IP headers not. Unlike
the counters of the loopback interface they belong to a process, so other programs do not disturb them, and a client's
share is told from the nodes'. The bytes of a connection that ends between two looks are lost: how many did is among the
results (libp2p keeps its connections). What one node sends another receives, so on average a node receives as much.

All nodes share the cores of one machine: once CPU seconds times nodes come near 60 per core, times say more of the
machine than of the directory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import trio
import typer

from bench.processes.announcing_nodes import MODEL, Swarm, open_swarm
from bench.shared.harness import Out, Results, console, show
from dht import Directory
from process_counters import children, cpu_seconds, moved, sockets
from swarm_node.settings import RECORD_SECONDS

CLIENTS, REPEATS = 5, 4
"""Fresh clients per node count, and snapshots that each reads after its first."""
READ_SECONDS = 5.0
FULL_SECONDS = 30.0
"""For a client to see all nodes."""


@dataclass(frozen=True, slots=True)
class Result:
    """One node count. Times in seconds; rates per node and minute; kB are 1000 bytes."""

    nodes: int
    join: float
    """From nothing, its daemon included, to a client that may ask; median."""
    first: float
    """A fresh client's way from there to a snapshot of all nodes; median."""
    read: float
    """Every later snapshot; median."""
    read_p95: float
    seen: float
    """Mean share of the nodes in a snapshot."""
    seen_least: float
    announce: float
    """One announcement; median."""
    announce_p95: float
    failed: int
    """Announcements that no peer accepted."""
    sent_kb: float
    """Sent per node and minute while nobody reads."""
    sent_reading_kb: float
    """Sent per node and minute while one client reads every 5 s."""
    snapshot_kb: float
    """Received and sent by that client for each of its snapshots."""
    daemon_cpu: float
    """CPU seconds per node and minute while nobody reads."""
    python_cpu: float
    connections: float
    """Open per node."""
    ended: int
    """Connections that ended while bytes were counted."""
    load: float
    """The machine's load average over the last minute."""


class Reader:
    """Reads snapshots, and keeps how long each took and what share of the nodes it held."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self.seconds: list[float] = []
        self.shares: list[float] = []

    async def read(self, directory: Directory) -> bool:
        """One snapshot; whether it held all nodes."""
        started = perf_counter()
        snapshot = await directory.snapshot()
        self.seconds.append(perf_counter() - started)
        self.shares.append(len(snapshot.nodes) / self.nodes)
        return len(snapshot.nodes) == self.nodes


@dataclass(frozen=True, slots=True)
class Window:
    """Some seconds of the swarm's life, as counters show them."""

    sent: float
    """Bytes per node and minute."""
    daemon_cpu: float
    """Seconds per node and minute."""
    python_cpu: float
    connections: float
    """Open per node at the end."""
    ended: int
    client_bytes: int
    """Sent and received by the daemon of this process's client."""


async def watch(swarm: Swarm, reader: Reader, directory: Directory | None, seconds: float) -> Window:
    """Count for ``seconds``, and read ``directory`` now and every READ_SECONDS unless it is None."""
    workers = swarm.process_ids()
    daemons, client = children(workers), children({os.getpid()}) - workers
    before, started = await sockets(), perf_counter()
    cpu = cpu_seconds(daemons), cpu_seconds(workers)
    with trio.move_on_after(seconds):
        while directory is not None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.read, directory)
                await trio.sleep(READ_SECONDS)
        await trio.sleep_forever()
    scale = 60 / (perf_counter() - started) / swarm.nodes
    daemon_cpu, python_cpu = cpu_seconds(daemons) - cpu[0], cpu_seconds(workers) - cpu[1]
    after = await sockets()
    return Window(
        moved(before, after, daemons, "sent") * scale,
        daemon_cpu * scale,
        python_cpu * scale,
        sum(holder in daemons for _, holder in after) / swarm.nodes,
        sum(held[1] in daemons | client and held not in after for held in before),
        sum(moved(before, after, client, what) for what in ("sent", "received")),
    )


async def measure(swarm: Swarm, seconds: float, clients: int = CLIENTS) -> Result:
    """All figures of the swarm as it is; watches it for ``seconds`` twice."""
    reader, joins, firsts = Reader(swarm.nodes), [], []
    for _ in range(clients):
        started = perf_counter()
        async with swarm.client() as peer:
            joins.append(perf_counter() - started)
            first = Reader(swarm.nodes)
            with trio.fail_after(FULL_SECONDS):
                while not await first.read(peer.directory(MODEL)):
                    pass
            firsts.append(sum(first.seconds))
            reader.shares += first.shares
            for _ in range(REPEATS):
                await reader.read(peer.directory(MODEL))
    await swarm.announced()
    quiet = await watch(swarm, reader, None, seconds)
    async with swarm.client() as peer:
        await reader.read(peer.directory(MODEL))
        count = len(reader.seconds)
        busy = await watch(swarm, reader, peer.directory(MODEL), seconds)
        count = len(reader.seconds) - count
    announced, failed = await swarm.announced()
    return Result(
        nodes=swarm.nodes,
        join=float(np.median(joins)),
        first=float(np.median(firsts)),
        read=float(np.median(reader.seconds)),
        read_p95=_p95(reader.seconds),
        seen=float(np.mean(reader.shares)),
        seen_least=min(reader.shares),
        announce=float(np.median(announced)),
        announce_p95=_p95(announced),
        failed=failed,
        sent_kb=quiet.sent / 1000,
        sent_reading_kb=busy.sent / 1000,
        snapshot_kb=busy.client_bytes / max(1, count) / 1000,
        daemon_cpu=quiet.daemon_cpu,
        python_cpu=quiet.python_cpu,
        connections=quiet.connections,
        ended=quiet.ended + busy.ended,
        load=os.getloadavg()[0],
    )


async def run_swarm(nodes: int, seconds: float, clients: int = CLIENTS, rest: float = RECORD_SECONDS) -> Result:
    """The figures of a swarm of so many nodes, ``rest`` seconds after the last of them has announced itself."""
    started = perf_counter()
    async with open_swarm(nodes) as swarm:
        console.print(f"{nodes} nodes announced after {perf_counter() - started:.0f} s; measuring")
        await trio.sleep(rest)
        return await measure(swarm, seconds, clients)


def _p95(values: Sequence[float]) -> float:
    return float(np.percentile(values, 95, method="higher"))


def main(
    nodes: Annotated[list[int], typer.Option(min=2, help="Node counts.")] = [10, 25, 50, 100],  # noqa: B006
    seconds: Annotated[float, typer.Option(min=6, help="Each of the two measurements per count.")] = 24.0,
    out: Out = Path("build/bench_dht"),
) -> None:
    """Measure, print and write the results."""
    written = Results(out)
    results: list[Result] = []
    for count in sorted(nodes):
        results.append(trio.run(run_swarm, count, seconds))
        written.write_rows("directory", results)
        with written.plot("directory", (10, 4), columns=2) as panels:
            plot(results, panels)
    tell(results)
    console.print(f"{os.cpu_count()} cores; written to {out}")


def tell(results: Sequence[Result]) -> None:
    """Node counts side by side: a row per figure fits any terminal."""
    rows: dict[str, Callable[[Result], str]] = {
        "client joins, ms": lambda result: f"{result.join * 1e3:.0f}",
        "first full snapshot, ms": lambda result: f"{result.first * 1e3:.0f}",
        "later snapshots, ms (P95)": lambda result: f"{result.read * 1e3:.0f} ({result.read_p95 * 1e3:.0f})",
        "nodes seen, % (least)": lambda result: f"{result.seen:.1%} ({result.seen_least:.0%})".replace("%", ""),
        "announcement, ms (P95)": lambda result: f"{result.announce * 1e3:.0f} ({result.announce_p95 * 1e3:.0f})",
        "announcements failed": lambda result: f"{result.failed}",
        "sent, kB/node/min": lambda result: f"{result.sent_kb:.0f}",
        "with a reader, kB/node/min": lambda result: f"{result.sent_reading_kb:.0f}",
        "client, kB/snapshot": lambda result: f"{result.snapshot_kb:.0f}",
        "daemon CPU, s/node/min": lambda result: f"{result.daemon_cpu:.2f}",
        "Python CPU, s/node/min": lambda result: f"{result.python_cpu:.2f}",
        "connections/node": lambda result: f"{result.connections:.0f}",
        "connections that ended": lambda result: f"{result.ended}",
        "load average": lambda result: f"{result.load:.1f}",
    }

    def cell(what: str, result: Result) -> str:
        return rows[what](result)

    by_count = [(f"{result.nodes} nodes", partial(cell, result=result)) for result in results]
    show(rows, ("", str), *by_count)


def plot(results: Sequence[Result], panels: Any) -> None:
    times, traffic = panels
    nodes = [result.nodes for result in results]
    for name, label in (
        ("join", "client joins"),
        ("first", "first full snapshot"),
        ("read", "later snapshots"),
        ("read_p95", "later snapshots, P95"),
    ):
        times.plot(nodes, [getattr(result, name) * 1e3 for result in results], "o-", label=label)
    times.set(xlabel="nodes", ylabel="milliseconds", ylim=(0, None))
    for name, label in (
        ("sent_kb", "sent per node and minute"),
        ("sent_reading_kb", "the same while a client reads"),
        ("snapshot_kb", "a client's traffic per snapshot"),
    ):
        traffic.plot(nodes, [getattr(result, name) for result in results], "o-", label=label)
    traffic.set(xlabel="nodes", ylabel="kB", ylim=(0, None))
    for axes in (times, traffic):
        axes.grid(alpha=0.3)
        axes.legend()
