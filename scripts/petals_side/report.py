"""What comes out: medians of both sides, their ratios, and what was to be reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure
from rich.table import Table

from petals_side.measuring import CLIENTS, Alone, Figures

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Round:
    """One after the other."""

    transformers: Alone
    ours: Figures
    petals: Figures


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Medians of all rounds; None where a side never came to an end."""

    what: str
    unit: str
    ours: float | None
    petals: float | None
    ratio: float | None
    """Ours to Petals's."""
    goal: str = ""
    reached: bool | None = None
    """None without a goal, or without figures to judge by."""


def compare(rounds: Sequence[Round]) -> list[Row]:
    eight = f"{CLIENTS} clients at once, one node"
    return [
        _faster(rounds, "one session, one node", lambda side: side.session, 1.6),
        _faster(rounds, "one session, chain of two nodes", lambda side: side.chain, 1.6),
        _faster(rounds, eight, lambda side: side.best, 5.0),
        _row(rounds, "  … as threads of one process", "tokens/s", lambda side: side.threads),
        _row(rounds, "  … as processes", "tokens/s", lambda side: side.clients),
        _row(rounds, "  … through a gateway", "tokens/s", lambda side: side.gateway),
        _at_most(rounds, "processes of a node, daemons left out", "", lambda side: side.processes, 3),
        _row(rounds, "its daemons", "", lambda side: side.daemons),
        _at_most(rounds, "its memory at rest, weights left out", "MiB", lambda side: side.memory_at_rest / MIB, 450),
        _row(rounds, "the same after all these sessions", "MiB", lambda side: side.memory / MIB),
        _at_most(rounds, "its start until it is online", "s", lambda side: side.online, 4),
        _row(rounds, "texts that transformers would write", "%", lambda side: side.exact * 100),
        _row(rounds, "taken by other programs meanwhile", "%", lambda side: side.foreign_load * 100),
    ]


def _row(rounds: Sequence[Round], what: str, unit: str, pick: Callable[[Figures], float | None]) -> Row:
    ours = _median([pick(each.ours) for each in rounds])
    petals = _median([pick(each.petals) for each in rounds])
    return Row(what, unit, ours, petals, ours / petals if ours is not None and petals else None)


def _faster(rounds: Sequence[Round], what: str, pick: Callable[[Figures], float | None], times: float) -> Row:
    row = _row(rounds, what, "tokens/s", pick)
    reached = row.ratio >= times if row.ratio is not None else None
    return Row(what, row.unit, row.ours, row.petals, row.ratio, f"≥ {times:g} ×", reached)


def _at_most(rounds: Sequence[Round], what: str, unit: str, pick: Callable[[Figures], float], limit: float) -> Row:
    row = _row(rounds, what, unit, pick)
    reached = row.ours <= limit if row.ours is not None else None
    return Row(what, unit, row.ours, row.petals, row.ratio, f"≤ {limit:g} {unit}".strip(), reached)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def table(rows: Sequence[Row]) -> Table:
    shown = Table("medians", "swarm-node", "Petals", "ratio", "goal", "", box=None)
    for row in rows:
        what = f"{row.what}, {row.unit}" if row.unit else row.what
        judged = {True: "[green]reached[/]", False: "[red]missed[/]", None: ""}[row.reached]
        shown.add_row(what, _text(row.ours), _text(row.petals), _text(row.ratio, 2), row.goal, judged)
    return shown


def _text(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if digits is not None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def plot(rounds: Sequence[Round], path: Path) -> None:
    """Bars are medians, dots are rounds; lines are transformers alone."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    speed, cost = figure.subplots(1, 2, width_ratios=(2, 1))
    cases: dict[str, Callable[[Figures], float]] = {
        "one session,\none node": lambda side: side.session,
        "one session,\ntwo nodes": lambda side: side.chain,
        f"{CLIENTS} clients,\none node": lambda side: side.best,
    }
    costs: dict[str, Callable[[Figures], float]] = {
        "memory without\nweights, 100 MiB": lambda side: side.memory_at_rest / MIB / 100,
        "start until\nonline, s": lambda side: side.online,
        "processes": lambda side: side.processes,
    }
    for axes, picks in ((speed, cases), (cost, costs)):
        for shift, name in ((-0.2, "swarm-node"), (0.2, "Petals")):
            sides = [each.ours if name == "swarm-node" else each.petals for each in rounds]
            places = [place + shift for place in range(len(picks))]
            axes.bar(places, [median(map(pick, sides)) for pick in picks.values()], 0.36, label=name)
            for place, pick in zip(places, picks.values(), strict=True):
                axes.plot([place] * len(sides), list(map(pick, sides)), "k.", markersize=4)
        axes.set_xticks(range(len(picks)), list(picks))
        axes.grid(alpha=0.3, axis="y")
    for name, pick, style in (
        ("transformers alone", lambda alone: alone.single, "--"),
        (f"transformers, batch of {CLIENTS}", lambda alone: alone.batch, ":"),
    ):
        speed.axhline(median(pick(each.transformers) for each in rounds), color="gray", linestyle=style, label=name)
    speed.set_ylabel("tokens per second")
    speed.legend(fontsize=8)
    figure.savefig(path, dpi=150)
