"""What all benchmarks share: the machine that they run on, taking turns, medians, and where results go."""

from __future__ import annotations

import csv
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Runs = Annotated[int, typer.Option(min=1, help="Turns that count.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]

CaseT = TypeVar("CaseT")
ResultT = TypeVar("ResultT")

console = Console(width=None if sys.stdout.isatty() else 120)


def environment() -> dict[str, Any]:
    """What a figure cannot be understood without."""
    import torch  # here, as some benchmarks do without it

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "commit": commit() or "none",
    }


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """Of this checkout; empty without git."""
    described = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(described, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()


class Results:
    """What one benchmark writes into its folder, and the setting in which it was found."""

    def __init__(self, folder: Path, **setting: object) -> None:
        """Makes the folder, and tells the setting."""
        self.folder = folder
        self._environment = {**environment(), **setting}
        folder.mkdir(parents=True, exist_ok=True)
        console.print_json(data=self._environment)

    def write(self, **found: object) -> None:
        """``results.json``; dataclasses become what asdict() makes of them."""
        text = json.dumps({"environment": self._environment, **found}, indent=2, default=asdict)
        (self.folder / "results.json").write_text(text + "\n")

    def write_rows(self, name: str, rows: Sequence[Any]) -> None:
        """``NAME.csv`` of dataclasses of one kind; nothing of none."""
        if not rows:
            return
        with (self.folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(rows[0])])
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)

    @contextmanager
    def plot(self, name: str, size: tuple[float, float] = (6.4, 4.8), rows: int = 1, columns: int = 1) -> Iterator[Any]:
        """``NAME.png``: the body draws into the axes, of which there is an array if there is more than one."""
        figure = Figure(figsize=size, layout="constrained")
        yield figure.subplots(rows, columns)
        figure.savefig(self.folder / f"{name}.png", dpi=150)


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))

    @classmethod
    def of_ratios(cls, ones: Iterable[float], others: Iterable[float]) -> Spread:
        """Turn by turn: in each, both have met the same machine."""
        return cls.of(one / other for one, other in zip(ones, others, strict=True))


def in_turns(cases: Iterable[CaseT], runs: int, where: str = "") -> Iterator[tuple[int, CaseT]]:
    """The number of the turn and a case: all cases one after the other, and again, so that each meets a machine that
    grows slow. Turn 0 warms up and does not count; ``runs`` more follow. ``where`` goes before what is told of them.
    """
    every = list(cases)
    for turn in range(runs + 1):
        for case in every:
            console.print(f"[dim]{where}turn {turn}: {case}[/dim]")
            yield turn, case


def in_processes(workers: int, what: str, function: Callable[..., ResultT], *cases: Sequence[Any]) -> list[ResultT]:
    """What ``function`` (of a module, or a partial of one) finds for each case, in order."""
    with ProcessPoolExecutor(workers) as pool:
        return list(track(pool.map(function, *cases), what, len(cases[0]), console=console))


def show(rows: Iterable[CaseT], *columns: tuple[str, Callable[[CaseT], str]], title: str | None = None) -> None:
    """A table with a line for each row: the columns are their headings, and what they say of a row."""
    table = Table(*(heading for heading, _ in columns), title=title)
    for row in rows:
        table.add_row(*(text(row) for _, text in columns))
    console.print(table)


def judged(text: str, reached: bool) -> str:
    """In the colour of a goal that was reached or missed."""
    return f"[green]{text}[/]" if reached else f"[red]{text}[/]"
