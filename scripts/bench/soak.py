"""A node under load for half an hour: whether it keeps its memory, its sessions and its pace.

    python scripts/bench soak [--minutes 30] [--warm-up 5] [--out build/bench_soak]

One node serves the Llama of 100 million parameters in little memory to several client processes, whose sessions are
more than fit: prompts of 16 to 512 tokens, answers of 8 to 64. One session in five is given up in the middle, and every
half a minute or so a client is killed with all of its sessions, and another takes its place. Every ten seconds the
memory of the node and its daemon (resident set size) is noted, and what the node says of itself. In the end all clients
are killed, and a minute later no session may be left. Linux only. Written: results.json, samples.csv, soak.png.
"""

from __future__ import annotations

import os
import random
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import trio
import typer

from bench import program
from bench.shared.harness import Out, Results, Spread, console
from bench.shared.llama import make_llama
from process_counters import family, resident_bytes
from routing import NodeView
from routing.errors import SwarmError
from swarm_node.client import open_client
from swarm_node.client.client import SwarmClient
from swarm_node.local_swarm import LocalSwarm
from swarm_node.model import ModelSource

CLIENTS, WORKERS = 2, 8
"""Client processes, and sessions that each wants to have at once."""
MEMORY = "640MB"
"""Of the node: room for about ten sessions beside the weights."""
KILLED_SECONDS = (20.0, 90.0)
SAMPLE_SECONDS = 10.0
END_SECONDS = 60.0
"""For the node to notice that its clients are gone."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The node at one moment."""

    seconds: float
    resident_bytes: int
    running: int
    waiting: int
    free_tokens: int


@dataclass(frozen=True, slots=True)
class Findings:
    """Of the whole run; memory after the warm-up only."""

    sessions: int
    given_up: int
    clients_killed: int
    tokens: int
    tokens_per_second: float
    decode_median: float
    decode_p99: float
    """Seconds of a decode, from sending it to its result."""
    memory_first: int
    """Median of the first minute after the warm-up, bytes."""
    memory_last: int
    """Median of the last minute."""
    memory_most: int
    sessions_left: int
    tokens_left: int
    """Block-tokens of cache still held in the end."""


class Soak:
    """One run. ``run`` owns the clients and returns what was seen."""

    def __init__(self, model: Path, address: str, node_process: int, files: Path, seconds: float) -> None:
        self._model = model
        self._address = address
        self._node_process = node_process
        self._files = files
        self._seconds = seconds
        self.killed = 0
        """Clients so far."""
        self.samples: list[Sample] = []
        self.left: NodeView | None = None

    async def run(self) -> None:
        source = ModelSource.open(str(self._model))
        async with open_client(source, [self._address], timeout=30, notice=console.print) as observer:
            began = trio.current_time()
            with trio.move_on_after(self._seconds):
                async with trio.open_nursery() as nursery:
                    for number in range(CLIENTS):
                        nursery.start_soon(self._keep_client, number)
                    while True:
                        await trio.sleep(SAMPLE_SECONDS)
                        view = await self._view(observer)
                        memory = resident_bytes(family(self._node_process))
                        seconds = trio.current_time() - began
                        self.samples.append(Sample(seconds, memory, view.running, view.waiting, view.free_tokens))
                        console.print(f"[dim]{seconds:.0f} s: {memory >> 20} MiB, {view.running} running[/dim]")
            await trio.sleep(END_SECONDS)
            self.left = await self._view(observer)

    async def _view(self, observer: SwarmClient) -> NodeView:
        nodes = (await observer.chains.snapshot(max_age=0)).nodes
        if not nodes:
            raise SwarmError("the node is gone")
        return nodes[0]

    async def _keep_client(self, number: int) -> None:
        """A client, and another when it has been killed."""
        chance = random.Random(number)
        for life in count():
            steps = self._files / f"{number}-{life}.txt"
            client = program("soak_client", self._model, self._address, WORKERS, life, steps)
            with trio.move_on_after(chance.uniform(*KILLED_SECONDS)) as scope:
                # At the end of its time it is killed: the cancellation of run_process would ask it to end first.
                await trio.run_process(client, deliver_cancel=_kill, stdin=b"")
            if not scope.cancelled_caught:
                raise SwarmError("a client has ended by itself")
            self.killed += 1


async def _kill(process: trio.Process) -> None:
    process.kill()


def findings(soak: Soak, files: Path, seconds: float, warm_up: float) -> Findings:
    sessions = [line.split() for file in files.glob("*.txt") for line in file.read_text().splitlines()]
    decodes = sorted(float(each) for session in sessions for each in session[2:])
    tokens = sum(int(session[1]) for session in sessions)
    warm = [sample for sample in soak.samples if sample.seconds >= warm_up]
    minute = round(60 / SAMPLE_SECONDS)
    assert soak.left is not None
    return Findings(
        sessions=len(sessions),
        given_up=sum(session[0] == "1" for session in sessions),
        clients_killed=soak.killed,
        tokens=tokens,
        tokens_per_second=tokens / seconds,
        decode_median=Spread.of(decodes).median,
        decode_p99=decodes[int(0.99 * len(decodes))],
        memory_first=round(Spread.of(sample.resident_bytes for sample in warm[:minute]).median),
        memory_last=round(Spread.of(sample.resident_bytes for sample in warm[-minute:]).median),
        memory_most=max(sample.resident_bytes for sample in warm),
        sessions_left=soak.left.running,
        tokens_left=soak.left.cache_tokens - soak.left.free_tokens,
    )


def main(
    minutes: Annotated[float, typer.Option(min=1)] = 30,
    warm_up: Annotated[float, typer.Option(min=0, help="Minutes that do not count for memory.")] = 5,
    out: Out = Path("build/bench_soak"),
) -> None:
    """Load one node for a while."""
    results = Results(out)
    with TemporaryDirectory(prefix="bench-soak-") as directory:
        model, files = make_llama(Path(directory) / "model"), Path(directory) / "steps"
        files.mkdir()
        options = ["--dtype", "float32", "--memory", MEMORY, "--threads", str(os.cpu_count() or 1)]
        with LocalSwarm(str(model), options) as nodes:
            node = nodes.start([None])[0]
            soak = Soak(model, nodes.address, node.process.pid, files, minutes * 60)
            trio.run(soak.run)
        found = findings(soak, files, minutes * 60, warm_up * 60)
    results.write(**asdict(found))
    results.write_rows("samples", soak.samples)
    with results.plot("soak") as axes:
        minute = [sample.seconds / 60 for sample in soak.samples]
        axes.plot(minute, [sample.resident_bytes / 2**20 for sample in soak.samples])
        axes.set(xlabel="minutes", ylabel="node and daemon, MiB", ylim=(0, None))
    console.print_json(data=asdict(found))
