"""Make every figure and the table of arXiv 2604.14993, section 5, and say which of its claims came out.

    python scripts/reproduce_paper.py [--rtt CSV] [--trace CSV] [--out build/paper] [--quick] [--only fig8]

--rtt takes round-trip times with a column latency_m1 in milliseconds (RIPE Atlas), --trace requests in the format of
the Azure LLM inference trace 2023. Without them synthetic stand-ins are used, and every output says so. Writes a PNG
and a CSV for each figure, summary.md and summary.json. Two processes; about three minutes, with --quick ten seconds.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from paper import (
    dispatching,
    job_servers,
    model_times,
    random_placements,
    reserve_by_rate,
    reserve_curves,
    state_of_the_art,
    trace_table,
)
from paper.inputs import load_inputs
from paper.settings import FULL, QUICK
from paper.study import Outcome, Study
from paper.summary import Part, print_claims, write_summary
from routing.errors import SwarmError

FIGURES: dict[str, Callable[[Study], Outcome]] = {
    "fig3": random_placements.make,
    "fig4": job_servers.make,
    "fig5": dispatching.make,
    "fig6": reserve_curves.make,
    "fig7": reserve_by_rate.make,
    "fig8": state_of_the_art.make,
    "fig9_10": model_times.make,
    "table": trace_table.make,
}

console = Console()


def main(
    rtt: Annotated[Path | None, typer.Option(help="Round-trip times (RIPE Atlas).")] = None,
    trace: Annotated[Path | None, typer.Option(help="Requests (Azure LLM inference trace 2023).")] = None,
    out: Annotated[Path, typer.Option(help="Directory to write.")] = Path("build/paper"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer runs and points.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(FIGURES)}; may be repeated.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    unknown = sorted(set(only or ()) - set(FIGURES))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(FIGURES)}", param_hint="--only")
    try:
        inputs = load_inputs(rtt, trace, seed)
    except SwarmError as error:
        raise typer.BadParameter(str(error)) from error
    out.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    parts: list[Part] = []
    with (
        ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool,
        Progress(*columns, console=console) as progress,
    ):
        for name, make in FIGURES.items():
            if only and name not in only:
                continue
            started = time.monotonic()
            study = Study(inputs, QUICK if quick else FULL, seed, out, pool, progress)
            outcome = make(study)
            parts.append(Part(name, outcome, tuple(study.files), time.monotonic() - started))
    write_summary(out, parts, inputs, seed, quick)
    print_claims(console, parts)
    console.print(f"Figures, tables and summary.md are in {out}")


if __name__ == "__main__":
    typer.run(main)
