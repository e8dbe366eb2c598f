"""Figure 8: mean response time of PETALS, BPRR and the proposed, over swarms small and large, poor and rich."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from paper.clusters import Cell, simulated_cluster
from paper.settings import ARRIVAL_RATE, FAST, FAST_SHARE, OUTPUT_TOKENS, SERVERS, SIMULATED_MODEL, SLOW, WARM_UP
from paper.study import Claim, Outcome, Row, Study, half_width, markdown_table, panels
from routing.errors import SwarmError
from routing.simulation import build_policy, mean_times, poisson_jobs, simulate

POLICIES = ("petals", "petals, all memory", "bprr", "proposed")
"""PETALS as it is, with cache for two jobs a block, and as it could be, with all its spare memory as cache."""
LEAST, MOST = 0.08, 0.83
"""The paper's band of reductions."""
LOG_ABOVE = 3.0
"""Bars that differ by more are drawn on a logarithmic scale."""


class Case(NamedTuple):
    """One point of the figure."""

    servers: int
    fast_share: float
    rate: float = ARRIVAL_RATE
    round_trips: int = 1
    """Of a job with each of its servers."""


class Measured(NamedTuple):
    """Mean seconds; infinite where the policy cannot carry the load, or cannot place the model at all."""

    response: float
    wait: float
    failure: str


def compare(cell: Cell) -> tuple[Measured, ...]:
    """One entry for each of POLICIES, on the same jobs."""
    jobs = poisson_jobs(cell.rate, cell.jobs, np.random.default_rng(cell.seed))
    times = mean_times(cell.servers)
    results: list[Measured] = []
    for number, name in enumerate(POLICIES):
        rng = np.random.default_rng([*cell.seed, number])
        try:
            policy = build_policy(
                name.partition(",")[0],
                cell.servers,
                SIMULATED_MODEL,
                cell.rate,
                rng,
                petals_spare_memory="all memory" in name,
            )
            summary = simulate(policy, jobs, times, rng).summary(WARM_UP)
            results.append(Measured(summary.response.mean, summary.wait.mean, ""))
        except SwarmError as error:
            results.append(Measured(float("inf"), float("inf"), str(error)))
    return tuple(results)


def make(study: Study) -> Outcome:
    scale = study.scale
    grid = [Case(count, share) for count in scale.servers for share in scale.fast_shares]
    talking = [case._replace(round_trips=OUTPUT_TOKENS) for case in grid]
    sweep = [Case(SERVERS, FAST_SHARE, rate) for rate in scale.rates if rate != ARRIVAL_RATE]
    cases = grid + talking + sweep
    cells = [
        Cell(
            simulated_cluster(
                case.servers,
                case.fast_share,
                study.inputs.rtts,
                study.rng(8, case.servers, round(100 * case.fast_share), run),
                case.round_trips,
            ),
            case.rate,
            scale.jobs,
            (study.seed, 88, run),
        )
        for case in cases
        for run in range(scale.runs)
    ]
    groups = study.run_groups("figure 8", compare, cells, scale.runs)
    rows = [_row(case, runs) for case, runs in zip(cases, groups, strict=True)]
    on_grid, on_talking_grid = rows[: len(grid)], rows[len(grid) : 2 * len(grid)]
    by_rate = sorted(
        (row for row, case in zip(rows, cases, strict=True) if case == Case(SERVERS, FAST_SHARE, case.rate)),
        key=lambda row: row["arrival_rate"],
    )
    caption = f"Mean of {scale.runs} clusters; λ = {ARRIVAL_RATE} but for the last panel"
    study.write("fig8", rows, _drawn(on_grid, by_rate), caption)
    shown = [
        {"J": row["servers"], "η": row["fast_share"], "λ": row["arrival_rate"], "round trips": row["round_trips"]}
        | {policy: row[policy] for policy in POLICIES}
        | {"reduction": f"{row['reduction']:.0%}", "of PETALS": f"{row['reduction_petals']:.0%}"}
        for row in rows
    ]
    return Outcome(
        "Figure 8: PETALS, BPRR and the proposed",
        (*_claims(on_grid, ""), *_claims(on_talking_grid, " (ours: a round trip for each output token)")),
        _note(on_grid),
        (markdown_table(shown),),
    )


def _row(case: Case, runs: Sequence[tuple[Measured, ...]]) -> Row:
    count, share, rate, round_trips = case
    fast = round(share * count)
    memory = fast * FAST.memory_bytes + (count - fast) * SLOW.memory_bytes
    row: Row = {
        "servers": count,
        "fast_share": share,
        "arrival_rate": rate,
        "round_trips": round_trips,
        "memory_over_weights": memory / (SIMULATED_MODEL.blocks * SIMULATED_MODEL.block_bytes),
    }
    for place, policy in enumerate(POLICIES):
        responses = [run[place].response for run in runs]
        row[policy] = float(np.mean(responses))
        row[f"{policy} half_interval"] = half_width(responses) if math.isfinite(row[policy]) else math.nan
        row[f"{policy} wait"] = float(np.mean([run[place].wait for run in runs]))
        row[f"{policy} failures"] = sum(run[place].failure != "" for run in runs)
    ours = row["proposed"]
    row["reduction"] = 1 - ours / min(row["petals"], row["bprr"])
    row["reduction_petals"] = 1 - ours / row["petals"]
    row["reduction_petals_all_memory"] = 1 - ours / row["petals, all memory"]
    row["reduction_bprr"] = 1 - ours / row["bprr"]
    return row


def _claims(rows: Sequence[Row], variant: str) -> tuple[Claim, ...]:
    within = [row for row in rows if LEAST <= row["reduction"] <= MOST]
    reductions = [row["reduction"] for row in rows]
    memory = [row["memory_over_weights"] for row in rows]
    half = sorted(rows, key=lambda row: row["memory_over_weights"])[: len(rows) // 2]
    rest = [row["reduction"] for row in rows if row not in half]
    scarce = float(np.mean([row["reduction"] for row in half]))
    return (
        Claim(
            f"mean response is {LEAST:.0%} to {MOST:.0%} below the better of PETALS and BPRR on all the grid{variant}",
            f"{min(reductions):.1%} to {max(reductions):.1%}; within the band in {len(within)} of {len(rows)} cells. "
            f"Below BPRR {_range(rows, 'reduction_bprr')}, below PETALS {_range(rows, 'reduction_petals')}, below "
            f"PETALS with all memory as cache {_range(rows, 'reduction_petals_all_memory')}",
            len(within) == len(rows),
        ),
        Claim(
            f"the reduction is larger where memory is scarce{variant}",
            f"{scarce:.1%} in the poorer half of the grid, {np.mean(rest):.1%} in the richer; correlation with memory "
            f"{np.corrcoef(memory, reductions)[0, 1]:.2f}",
            scarce > float(np.mean(rest)),
        ),
        Claim(
            f"the proposed is never worse than PETALS or BPRR{variant}",
            f"least reduction {min(reductions):.1%}",
            min(reductions) >= 0,
        ),
    )


def _range(rows: Sequence[Row], column: str) -> str:
    values = [row[column] for row in rows]
    return f"{min(values):.0%} to {max(values):.0%}"


def _note(rows: Sequence[Row]) -> str:
    floor = SIMULATED_MODEL.blocks * FAST.compute_seconds()
    rich = max(rows, key=lambda row: row["memory_over_weights"])
    best = min(rich["petals"], rich["bprr"])
    failed = [
        f"{policy} in {int(row[f'{policy} failures'])} runs at J = {row['servers']}, η = {row['fast_share']}"
        for row in rows
        for policy in POLICIES
        if row[f"{policy} failures"]
    ]
    return (
        "The reduction is that of the means over all runs. Where memory is plentiful it cannot reach 8%: no chain is "
        f"faster than {floor:.2f} s, the time of 70 blocks on fast servers without any network, and at J = "
        f"{rich['servers']}, η = {rich['fast_share']} the better of the two baselines already takes {best:.2f} s, so "
        f"at most {1 - floor / best:.1%} is left. At λ = {ARRIVAL_RATE} some two jobs run at a time, and a baseline "
        "that does not queue loses only by slower chains. What PETALS loses depends on its cache: "
        "with the two jobs a block that it sets aside by itself, J = 10 is overloaded in some runs (a mean over such "
        "runs grows with the number of jobs); with all spare memory it hardly waits but for J = 10. BPRR is at "
        "its best: it knows the state of all servers without delay and the mean time of every job. The grid with "
        f"{OUTPUT_TOKENS} round trips is ours: there a job meets each of its servers once for every token, as in the "
        "trace setting, and chains of many hops cost more. The last rows vary λ and are ours too. "
        + (f"No result: {'; '.join(failed)}." if failed else "Every policy could place the model in every run.")
    )


def _drawn(on_grid: Sequence[Row], by_rate: Sequence[Row]) -> Figure:
    counts = sorted({row["servers"] for row in on_grid})
    figure = panels(len(counts) + 1)
    for axes, count in zip(figure.axes, counts, strict=False):
        rows = [row for row in on_grid if row["servers"] == count]
        x = np.arange(len(rows))
        for place, policy in enumerate(POLICIES):
            axes.bar(x + 0.2 * (place - 1.5), [row[policy] for row in rows], 0.2, label=policy)
        axes.set_xticks(x, [f"{row['fast_share']:g}" for row in rows])
        heights = [row[policy] for row in rows for policy in POLICIES]
        scale = "log" if max(heights) > LOG_ABOVE * min(heights) else "linear"
        axes.set(title=f"J = {count:.0f}", xlabel="η", ylabel="mean response (s)", yscale=scale)
    figure.axes[0].legend(fontsize=8)
    for policy in POLICIES:
        figure.axes[-1].plot(
            [row["arrival_rate"] for row in by_rate], [row[policy] for row in by_rate], "o-", label=policy, markersize=3
        )
    figure.axes[-1].set(
        title=f"J = {SERVERS}, η = {FAST_SHARE}", xlabel="λ (jobs/s)", ylabel="mean response (s)", yscale="log"
    )
    return figure
