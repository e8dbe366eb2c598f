"""What a test bed found: tables beside the simulator and the paper, CSV files and plots."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from rich.console import Console
from rich.table import Table

from paper.trace_runs import JFFC_ONLY, PETALS, PROPOSED, Measured
from paper.trace_table import COLUMNS, PAPER
from routing.simulation import SimulationResult
from testbed.bed import Run
from testbed.outcomes import Seconds, Times
from testbed.policies import PolicyName
from testbed.wan_links import Traffic

IN_PAPER = {PolicyName.PROPOSED: PROPOSED, PolicyName.JFFC_ONLY: JFFC_ONLY, PolicyName.PETALS: PETALS}
"""Names in the paper's table."""


@dataclass(frozen=True, slots=True)
class Result:
    """One policy in the bed and in the simulator."""

    policy: PolicyName
    run: Run
    predicted: SimulationResult
    traffic: Traffic | None
    """None on loopback."""

    @property
    def times(self) -> Times:
        return Times.of(self.run.outcomes)

    @property
    def incomplete(self) -> int:
        return sum(not outcome.complete for outcome in self.run.outcomes)

    def rows(self) -> dict[str, Measured]:
        """Seconds in the bed, in the simulator, and in the paper."""
        bed, said = self.times, self.predicted
        rows = {
            "bed": _measured(bed.response, bed.wait, bed.service),
            "simulator": _measured(said.response, said.wait, said.service),
        }
        if self.policy in IN_PAPER:
            rows["paper"] = PAPER[IN_PAPER[self.policy]]
        return rows


def _measured(response: Seconds, wait: Seconds, service: Seconds) -> Measured:
    if len(response) == 0:
        return Measured()
    median, p95, p99 = np.percentile(response, [50, 95, 99]).tolist()
    return Measured(float(response.mean()), median, p95, p99, float(wait.mean()), float(service.mean()))


def show(console: Console, results: Sequence[Result]) -> None:
    """Print the summary, with the columns COLUMNS, and how each run went."""
    if not results:
        return
    table = Table("seconds", "", "mean", "median", "P95", "P99", "mean wait", "mean service", box=None)
    for result in results:
        rows = result.rows()
        for place, (source, measured) in enumerate(rows.items()):
            figures = (f"{getattr(measured, column):.2f}" for column in COLUMNS)
            table.add_row(result.policy.value if place == 0 else "", source, *figures)
        ratios = (_ratio(getattr(rows["bed"], column), getattr(rows["simulator"], column)) for column in COLUMNS)
        table.add_row("", "bed / simulator", *ratios, end_section=True)
    console.print(table)
    for result in results:
        console.print(_how_it_went(result))


def _ratio(bed: float, simulator: float) -> str:
    """Waits that are hardly there have no ratio worth telling."""
    return f"{bed / simulator:.2f}" if simulator > 0.05 else "–"


def _how_it_went(result: Result) -> str:
    run = result.run
    outcomes = run.outcomes
    cores = {what: seconds / run.seconds for what, seconds in run.cpu.items()}
    parts = [
        f"{result.policy.value}: {len(outcomes) - result.incomplete} of {len(outcomes)} requests complete",
        f"{np.mean([len(outcome.hops.split()) for outcome in outcomes]):.1f} hops on average",
        f"{sum(outcome.refusals for outcome in outcomes)} refusals",
        f"{sum(outcome.chains > 1 for outcome in outcomes)} begun anew",
        f"{run.moves} moves of nodes",
        f"{run.seconds:.0f} s on {sum(cores.values()):.2f} cores ("
        + ", ".join(f"{what} {share:.2f}" for what, share in cores.items())
        + ")",
    ]
    if (traffic := result.traffic) is not None:
        parts.append(
            f"{traffic.packets:,} packets, {traffic.late_mean * 1e3:.1f} ms late on average "
            f"({traffic.late_most * 1e3:.0f} at most), {traffic.lost} lost, {traffic.overflowed} overflowed"
        )
    blocks = ", ".join("–" if span is None else str(span) for span in run.spans)
    failures = sorted({outcome.failure for outcome in outcomes if outcome.failure})
    return "; ".join(parts) + f"\n  blocks: {blocks}" + "".join(f"\n  failed: {failure}" for failure in failures)


def write(folder: Path, results: Sequence[Result], sources: Mapping[str, str]) -> None:
    """``summary.csv`` and ``testbed.png``; ``sources`` tell where round trips and requests are from."""
    with (folder / "summary.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["policy", "source", *COLUMNS, "requests", "incomplete", *sources])
        for result in results:
            for source, measured in result.rows().items():
                figures = [getattr(measured, column) for column in COLUMNS]
                told = [len(result.run.outcomes), result.incomplete, *sources.values()] if source != "paper" else []
                writer.writerow([result.policy.value, source, *figures, *told])
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    response, means = figure.subplots(1, 2)
    for result in results:
        bed = np.sort(result.times.response)
        (line,) = response.plot(bed, np.linspace(0, 1, len(bed)), label=result.policy.value)
        said = np.sort(result.predicted.response)
        response.plot(said, np.linspace(0, 1, len(said)), "--", color=line.get_color(), linewidth=1)
    response.set(xlabel="response (s); dashed: simulator", ylabel="share of requests", xscale="log", ylim=(0, 1))
    response.xaxis.set_major_formatter(ScalarFormatter())
    response.xaxis.set_minor_formatter(NullFormatter())
    response.legend()
    response.grid(alpha=0.3)
    bars = [(result.policy.value, source, row) for result in results for source, row in result.rows().items()]
    places = range(len(bars))
    service = [row.mean_service for _, _, row in bars]
    means.barh(places, service, label="service")
    means.barh(places, [row.mean_wait for _, _, row in bars], left=service, label="wait")
    means.set_yticks(places, [f"{policy}, {source}" for policy, source, _ in bars])
    means.invert_yaxis()
    means.set(xlabel="mean response (s)")
    means.legend()
    figure.supxlabel("; ".join(f"{what}: {source}" for what, source in sources.items()), fontsize=7)
    figure.savefig(folder / "testbed.png", dpi=150)
