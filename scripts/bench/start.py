"""How long a person waits for ``swarm status``, the first token of ``swarm generate``, a node and ``swarm serve``.

    python scripts/bench start [--base CHECKOUT] [--runs 5] [--out build/bench_start]

Each is a process of its own, started as from a shell, with the bundled model on loopback; client commands ask a node of
their own checkout. With ``--base`` the same is measured of another checkout, turn by turn with this one; where that has
no gateway, its ``swarm generate`` stands for it. Seconds of the processor are those of the process without its daemon:
they say more than those of the clock where other programs run. Written: results.json.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated

import typer

from bench.shared.harness import Out, Results, Runs, Spread, in_turns, judged, show
from swarm_node.local_swarm import NodeProcess
from swarm_node.program import FreshProgram

HERE = Path(__file__).resolve().parents[2]
MODEL = "swarm_node/demo_model"
GOALS = {"swarm status": 0.2, "first token of swarm generate": 0.5, "node online": 0.7, "swarm serve ready": 0.6}
"""Of what the base takes, by the clock."""


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock and of the processor."""

    wall: float
    processor: float


@dataclass(frozen=True, slots=True)
class Row:
    """What one thing took in all turns, here and in the base."""

    what: str
    here: list[Took]
    base: list[Took]

    def median(self, side: str, clock: str) -> float:
        return Spread.of(getattr(took, clock) for took in getattr(self, side)).median

    def ratio(self, clock: str) -> float:
        return Spread.of_ratios(
            [getattr(took, clock) for took in self.here], [getattr(took, clock) for took in self.base]
        ).median

    def cells(self, clock: str) -> str:
        """Seconds here, and beside them those of the base."""
        if not self.base:
            return f"{self.median('here', clock):.2f}"
        return f"{self.median('here', clock):.2f} / {self.median('base', clock):.2f} = {self.ratio(clock):.2f}"


def until_first_byte(checkout: Path, *arguments: str) -> Took:
    """Of a command of ``checkout``, until it says something; its processor's seconds to its end."""
    began = perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *arguments], cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    with process.stdout as output:
        output.read(1)
        wall = perf_counter() - began
        output.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"swarm {arguments[0]} of {checkout} ended with {process.returncode}")
    return Took(wall, usage.ru_utime + usage.ru_stime)


def until_ready(checkout: Path, *arguments: str) -> Took:
    """A gateway of ``checkout``, until it answers."""
    began = perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "serve", "--port", "0", *arguments],
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with process:
        if not process.stdout.readline().startswith(b"ready"):
            raise RuntimeError(f"swarm serve of {checkout} is not ready")
        took = Took(perf_counter() - began, processor_seconds(process.pid))
        process.terminate()
    return took


@contextmanager
def online(checkout: Path, folder: Path) -> Iterator[tuple[Took, str]]:
    """A node of ``checkout``: what it took to come online, and its address."""
    program = FreshProgram((sys.executable, "-c", f"import os, sys; os.chdir({str(checkout)!r}); {_RUN}", "node"))
    arguments = ("--model", MODEL, "--host", "127.0.0.1", "--new-swarm", "--identity", str(folder / "node.key"))
    began = perf_counter()
    node = NodeProcess(program, arguments, folder / "node", folder / "node.key")
    try:
        node.await_online()
        yield Took(perf_counter() - began, processor_seconds(node.process.pid)), node.address
    finally:
        node.stop()


_RUN = "sys.path[0] = os.getcwd(); sys.argv[0] = 'swarm'; from cli.main import main; main()"


def processor_seconds(process_id: int) -> float:
    """Of a running process, so far."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(checkout: Path) -> dict[str, Took]:
    """Each thing once."""
    with TemporaryDirectory(prefix="bench-start-") as name, online(checkout, Path(name)) as (took, address):
        swarm = ("--model", MODEL, "--initial-peers", address)
        status = until_first_byte(checkout, "status", *swarm)
        generated = until_first_byte(checkout, "generate", "Once upon a time", "--max-new-tokens", "1", *swarm)
        found = (
            status,
            generated,
            took,
            until_ready(checkout, *swarm) if (checkout / "cli" / "serve.py").exists() else generated,
        )
        return dict(zip(GOALS, found, strict=True))


def main(
    base: Annotated[Path | None, typer.Option(help="Another checkout to measure beside this one.")] = None,
    runs: Runs = 5,
    out: Out = Path("build/bench_start"),
) -> None:
    """Measure what starting takes."""
    results = Results(out, base=str(base) if base else "none", runs=runs)
    checkouts: Sequence[Path] = [HERE] if base is None else [HERE, base.resolve()]
    rows = [Row(what, [], []) for what in GOALS]
    for turn, checkout in in_turns(checkouts, runs):
        for row, took in zip(rows, measure(checkout).values(), strict=True):
            if turn:
                (row.here if checkout == HERE else row.base).append(took)
    results.write(rows=rows, goals=GOALS)
    show(
        rows,
        ("", lambda row: row.what),
        ("seconds", lambda row: row.cells("wall")),
        ("of the processor", lambda row: row.cells("processor")),
        ("goal", lambda row: judged(f"{GOALS[row.what]:g}", not row.base or row.ratio("wall") <= GOALS[row.what])),
        title="here" if base is None else "here / base = ratio, medians",
    )
