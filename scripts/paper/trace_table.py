"""The table: policies on requests of a real trace, with its bursts, beside the paper's experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from matplotlib.figure import Figure
from scipy.optimize import brentq

from paper.settings import TRACE_RESERVE
from paper.study import Claim, Outcome, Row, Study, half_width, markdown_table, panels
from paper.trace_note import explain
from paper.trace_runs import (
    BPRR,
    JFFC_ONLY,
    LARGEST_C,
    PAGED,
    PAPERS_C,
    PETALS,
    PETALS_ALL_MEMORY,
    PETALS_LARGER_CACHE,
    PROPOSED,
    VARIANTS,
    Cell,
    Measured,
    Variant,
    at_speed,
    average,
    draw_clusters,
    measure,
)

PAPER: Mapping[str, Measured] = {
    PETALS: Measured(31.4, 27.8, 68.5, 89.3, 24.2, 7.2),
    BPRR: Measured(19.8, 16.9, 44.2, 61.7, 12.6, 7.2),
    JFFC_ONLY: Measured(10.0, 8.5, 22.1, 29.6, 1.5, 8.5),
    PROPOSED: Measured(7.3, 6.5, 15.2, 21.4, 0.6, 6.7),
}
"""What the paper measured on real servers."""
COLUMNS = ("mean_response", "median_response", "p95_response", "p99_response", "mean_wait", "mean_service")
PETALS_GOAL, BPRR_GOAL = 0.6, 0.5
SPEEDS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
RESERVES = (1, 5, 8, 12, 16, 20, 24, 28, 32, TRACE_RESERVE, 40)
FEW_DRAWS = 3
"""Of the sweeps, which only show where the order comes from."""
SLOWEST = 50.0
"""No machine is so many times slower than its data sheet."""

Table = dict[str, list[Measured]]


def make(study: Study) -> Outcome:
    factor = calibrate(study)
    tables = {1.0: _measure_all(study, 1.0, "table, by the formula"), factor: _measure_all(study, factor, "table, ×f")}
    rows = [row for each, table in tables.items() for row in _rows(table, each)]
    caption = f"Mean of {study.scale.draws} draws of round-trip times"
    study.write("table", rows, _drawn(tables), caption, trace=True)
    _draw_sweeps(study, factor)
    claims = [claim for each, table in tables.items() for claim in _claims(table, each)]
    markdown = tuple(
        f"Computing times × {each:.2f} (seconds, mean of {study.scale.draws} draws; the paper's in brackets):\n\n"
        + markdown_table([_shown(name, measured) for name, measured in table.items()])
        for each, table in tables.items()
    )
    return Outcome("Table: the trace", tuple(claims), explain(study, tables[factor], factor), markdown)


def calibrate(study: Study) -> float:
    """The factor on all computing times with which JFFC only has the paper's mean service time."""
    jobs, draws = study.inputs.trace, study.scale.draws

    def too_slow(factor: float) -> float:
        clusters = draw_clusters(study, jobs, factor, draws)
        cells = [Cell(VARIANTS[JFFC_ONLY], cluster, jobs, (study.seed, 10)) for cluster in clusters]
        return average(list(study.pool.map(measure, cells))).mean_service - PAPER[JFFC_ONLY].mean_service

    return float(brentq(too_slow, 1.0, SLOWEST, xtol=1e-2))


def _measure_all(study: Study, factor: float, title: str) -> Table:
    jobs = study.inputs.trace
    clusters = draw_clusters(study, jobs, factor, study.scale.draws)
    cells = [
        Cell(variant, cluster, jobs, (study.seed, 11, draw))
        for variant in VARIANTS.values()
        for draw, cluster in enumerate(clusters)
    ]
    return dict(zip(VARIANTS, study.run_groups(title, measure, cells, len(clusters)), strict=True))


def _rows(table: Table, factor: float) -> list[Row]:
    rows: list[Row] = []
    for name, measured in table.items():
        paper = PAPER.get(name)
        mean = average(measured)
        row: Row = {"compute_factor": factor, "policy": name}
        for column in COLUMNS:
            row[column] = getattr(mean, column)
            row[f"paper_{column}"] = "" if paper is None else getattr(paper, column)
        row["mean_response_half_interval"] = half_width([each.mean_response for each in measured])
        row["share_on_slow_only"] = mean.slow_share
        rows.append(row)
    return rows


def _shown(name: str, measured: Sequence[Measured]) -> Row:
    mean, paper = average(measured), PAPER.get(name)
    return {"policy": name} | {
        column.replace("_", " "): f"{getattr(mean, column):.1f}"
        + ("" if paper is None else f" ({getattr(paper, column):.1f})")
        for column in COLUMNS
    }


def _claims(table: Table, factor: float) -> list[Claim]:
    means = {name: average(measured).mean_response for name, measured in table.items()}
    how = f"times × {factor:.2f}"
    order = (PETALS, BPRR, JFFC_ONLY, PROPOSED)
    values = [means[name] for name in order]
    paged = 1 - means[PAGED] / means[PROPOSED]
    return [
        Claim(
            f"mean response: PETALS > BPRR > JFFC only > proposed ({how})",
            ", ".join(f"{name} {means[name]:.2f}" for name in (*order, LARGEST_C, PAPERS_C)) + " s",
            all(earlier > later for earlier, later in pairwise(values)),
        ),
        _below(means, PETALS, PETALS_GOAL, how),
        _below(means, PETALS_LARGER_CACHE, PETALS_GOAL, how),
        _below(means, PETALS_ALL_MEMORY, PETALS_GOAL, how),
        _below(means, BPRR, BPRR_GOAL, how),
        Claim(
            f"a paged cache lowers the proposed's mean response further ({how})",
            f"{paged:.1%} lower; P99 {average(table[PROPOSED]).p99_response:.1f} to "
            f"{average(table[PAGED]).p99_response:.1f} s",
            paged > 0,
        ),
    ]


def _below(means: Mapping[str, float], rival: str, goal: float, how: str) -> Claim:
    reduction = 1 - means[PROPOSED] / means[rival]
    return Claim(f"the proposed is at least {goal:.0%} below {rival} ({how})", f"{reduction:.1%}", reduction >= goal)


def _drawn(tables: Mapping[float, Table]) -> Figure:
    figure = panels(len(tables))
    for axes, (factor, table) in zip(figure.axes, tables.items(), strict=True):
        means = [average(measured) for measured in table.values()]
        places = range(len(means))
        waits = [mean.mean_wait for mean in means]
        axes.barh(places, [mean.mean_service for mean in means], label="service")
        axes.barh(places, waits, left=[mean.mean_service for mean in means], label="wait")
        papers = [(place, PAPER[name].mean_response) for place, name in enumerate(table) if name in PAPER]
        axes.plot(
            [seconds for _, seconds in papers], [place for place, _ in papers], "k|", markersize=12, label="paper"
        )
        axes.set_yticks(places, list(table), fontsize=8)
        axes.invert_yaxis()
        axes.set(title=f"computing times × {factor:.2f}", xlabel="mean response (s)", xscale="symlog")
        axes.legend(fontsize=8)
    return figure


def _draw_sweeps(study: Study, factor: float) -> None:
    by_reserve = _sweep(study, factor, "table: c", {f"{c}": (Variant("proposed", reserve=c), 1.0) for c in RESERVES})
    names = (PETALS, PETALS_ALL_MEMORY, BPRR, JFFC_ONLY, PROPOSED, LARGEST_C, PAPERS_C, PAGED)
    by_speed = _sweep(
        study,
        factor,
        "table: speed",
        {f"{name}@{speed}": (VARIANTS[name], speed) for name in names for speed in SPEEDS},
    )
    figure = panels(2)
    reserve_axes, speed_axes = figure.axes
    reserve_axes.plot(RESERVES, [by_reserve[f"{c}"].mean_response for c in RESERVES], "o-", label="response")
    reserve_axes.plot(RESERVES, [by_reserve[f"{c}"].mean_service for c in RESERVES], "x--", label="service")
    reserve_axes.set(xlabel="c", ylabel="mean of the proposed (s)")
    reserve_axes.legend()
    for name in names:
        values = [by_speed[f"{name}@{speed}"].mean_response for speed in SPEEDS]
        speed_axes.plot(SPEEDS, values, "o-", markersize=3, label=name)
    speed_axes.set(xlabel="the trace played so many times as fast", ylabel="mean response (s)", yscale="log")
    speed_axes.legend(fontsize=8)
    rows: list[Row] = [
        {"varied": "c", "policy": PROPOSED, "value": float(c)} | by_reserve[f"{c}"]._asdict() for c in RESERVES
    ]
    rows += [
        {"varied": "speed", "policy": name, "value": speed} | by_speed[f"{name}@{speed}"]._asdict()
        for name in names
        for speed in SPEEDS
    ]
    caption = f"Computing times × {factor:.2f}; mean of {min(FEW_DRAWS, study.scale.draws)} draws"
    study.write("table_sweeps", rows, figure, caption, trace=True)


def _sweep(study: Study, factor: float, title: str, cases: Mapping[str, tuple[Variant, float]]) -> dict[str, Measured]:
    draws = min(FEW_DRAWS, study.scale.draws)
    clusters = draw_clusters(study, study.inputs.trace, factor, draws)
    cells = [
        Cell(variant, cluster, at_speed(study.inputs.trace, speed), (study.seed, 12, draw))
        for variant, speed in cases.values()
        for draw, cluster in enumerate(clusters)
    ]
    groups = study.run_groups(title, measure, cells, draws)
    return {name: average(measured) for name, measured in zip(cases, groups, strict=True)}
