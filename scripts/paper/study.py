"""What all figures share: inputs, seeds, a pool of processes, and where results go."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib.figure import Figure
from rich.progress import Progress
from scipy import stats

from paper.clusters import simulated_cluster
from paper.inputs import Inputs
from paper.settings import FAST_SHARE, SERVERS, Scale
from routing.plan.cluster import Server

CellT = TypeVar("CellT")
ResultT = TypeVar("ResultT")

Row = dict[str, Any]
"""One line of a CSV: numbers, and now and then a name."""

WIDTH, HEIGHT = 5.2, 3.8
"""Inches of one panel."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of the paper or of the project's goals, and what came out."""

    text: str
    found: str
    met: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """One figure or table."""

    title: str
    claims: tuple[Claim, ...]
    note: str
    """How it was made, and why what did not come out did not."""
    tables: tuple[str, ...] = ()
    """Markdown, for the summary."""


@dataclass(frozen=True, slots=True)
class Study:
    """One run of the script. Owned by it; the pool and the progress end with it."""

    inputs: Inputs
    scale: Scale
    seed: int
    out: Path
    pool: Executor
    progress: Progress
    files: list[str] = field(default_factory=list)
    """Names of what was written."""

    def rng(self, *key: int) -> np.random.Generator:
        """A stream of its own for each key, whatever else is run."""
        return np.random.default_rng([self.seed, *key])

    def run(self, title: str, function: Callable[[CellT], ResultT], cells: Iterable[CellT]) -> list[ResultT]:
        """Results of ``function`` (of a module, for other processes to find) on each cell, in order."""
        waiting = list(cells)
        task = self.progress.add_task(title, total=len(waiting))
        results: list[ResultT] = []
        for result in self.pool.map(function, waiting):
            results.append(result)
            self.progress.advance(task)
        return results

    def run_groups(
        self, title: str, function: Callable[[CellT], ResultT], cells: Iterable[CellT], size: int
    ) -> list[list[ResultT]]:
        """The same, with the results of ``size`` cells after one another in a list of their own."""
        results = self.run(title, function, cells)
        return [results[first : first + size] for first in range(0, len(results), size)]

    def clusters(self, key: int) -> list[tuple[Server, ...]]:
        """The paper's default cluster, ``scale.runs`` times with round-trip times of its own; others for each key."""
        return [
            simulated_cluster(SERVERS, FAST_SHARE, self.inputs.rtts, self.rng(key, run))
            for run in range(self.scale.runs)
        ]

    def write(self, name: str, rows: Sequence[Row], figure: Figure, caption: str, trace: bool = False) -> None:
        """A CSV with the columns of the first row, a PNG with a caption, and in both the sources of the inputs."""
        sources = {"rtts": self.inputs.rtt_source} | ({"trace": self.inputs.trace_source} if trace else {})
        with (self.out / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, [*rows[0], *sources])
            writer.writeheader()
            writer.writerows({**row, **sources} for row in rows)
        told = f"RTTs: {self.inputs.rtt_source}" + (f"; requests: {self.inputs.trace_source}" if trace else "")
        figure.text(0.5, 0.005, f"{caption}. {told}.", ha="center", va="bottom", fontsize=7)
        figure.savefig(self.out / f"{name}.png", dpi=150)
        self.files.extend((f"{name}.csv", f"{name}.png"))


def panels(count: int) -> Figure:
    """A figure of ``count`` panels, more than three in two rows, with room for a caption."""
    rows = 1 if count <= 3 else 2
    columns = math.ceil(count / rows)
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows), layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None, "the layout was asked for"
    engine.set(rect=(0, 0.05 / rows, 1, 1 - 0.05 / rows))  # type: ignore[call-arg]
    figure.subplots(rows, columns)
    for spare in figure.axes[count:]:
        spare.remove()
    return figure


def half_width(values: Sequence[float]) -> float:
    """Half the 95 % confidence interval of the mean of independent values."""
    if len(values) < 2:
        return float("nan")
    deviation = float(np.std(values, ddof=1))
    return float(stats.t.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5


def markdown_table(rows: Sequence[Row]) -> str:
    """Rows with the columns of the first; numbers with two decimals."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = (f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
