"""Figure 4: job servers needed for a rate by disjoint chains, by GCA's, and at the least."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from paper.fewest_slots import Fewest, fewest_slots
from paper.settings import FAST_SHARE, RESERVE, SERVERS, SIMULATED_MODEL
from paper.study import Claim, Outcome, Row, Study, panels
from routing.plan.cluster import Chain, Server
from routing.plan.gbp_cr import chains_for_rate, gbp_cr
from routing.plan.gca import gca
from routing.plan.reserve import TARGET_LOAD

RATES = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4)


class Needed(NamedTuple):
    """Job servers for each of RATES; None where the placement does not carry it."""

    disjoint: tuple[int | None, ...]
    gca: tuple[int | None, ...]
    fewest: tuple[Fewest | None, ...]
    bound: tuple[int, ...]


def count_job_servers(servers: tuple[Server, ...]) -> Needed:
    placement = gbp_cr(servers, SIMULATED_MODEL, RESERVE)
    chains = gca(servers, SIMULATED_MODEL, placement.spans)
    disjoint = [chains_for_rate(placement, rate / (TARGET_LOAD * RESERVE)) for rate in RATES]
    greedy = [slots_for_rate(chains, rate / TARGET_LOAD) for rate in RATES]
    return Needed(
        tuple(None if count is None else RESERVE * count for count in disjoint),
        tuple(greedy),
        fewest_slots(servers, SIMULATED_MODEL, placement.spans, [rate / TARGET_LOAD for rate in RATES], greedy),
        tuple(math.ceil(rate / TARGET_LOAD * chains[0].service_seconds - 1e-9) for rate in RATES),
    )


def slots_for_rate(chains: tuple[Chain, ...], rate: float) -> int | None:
    """Slots, the fastest first, whose rates sum to ``rate``."""
    used = 0
    for chain in chains:
        if chain.rate >= rate:
            return used + math.ceil(rate * chain.service_seconds - 1e-9)
        used += chain.capacity
        rate -= chain.rate
    return None


def make(study: Study) -> Outcome:
    results = study.run("figure 4", count_job_servers, study.clusters(4))
    rows = [_row(place, results) for place in range(len(RATES))]
    pairs = [pair for result in results for pair in zip(result.gca, result.fewest, strict=True)]
    gaps = [ours - fewest.slots for ours, fewest in pairs if ours is not None and fewest is not None]
    proven = all(fewest is None or fewest.proven for _, fewest in pairs)
    saved = [1 - row["gca"] / row["disjoint"] for row in rows if row["runs_disjoint_carry"] == len(results)]
    _draw(study, rows)
    return Outcome(
        "Figure 4: job servers needed",
        (
            Claim(
                "GCA needs hardly more job servers than the optimum, and fewer than c·K(c)",
                f"{np.mean(gaps):.2f} more than the optimum on average, {max(gaps)} at most; "
                f"{100 * min(saved):.0f} to {100 * max(saved):.0f}% fewer than c·K(c)",
                float(np.mean(gaps)) <= 1 and min(saved) > 0,
            ),
        ),
        "The integer program chooses c_k for every chain of GBP-CR's placement (all are enumerated) so that their "
        "rates reach λ/ρ̄ with the fewest slots in total. "
        + ("HiGHS proved every optimum. " if proven else "Where HiGHS did not finish, its lower bound is shown. ")
        + "Means are over the clusters that carry the rate; the CSV says how many do. c·K(c) moves in steps of "
        f"{RESERVE}.",
    )


def _row(place: int, results: list[Needed]) -> Row:
    disjoint = [result.disjoint[place] for result in results]
    greedy = [result.gca[place] for result in results]
    fewest = [result.fewest[place] for result in results]
    return {
        "arrival_rate": RATES[place],
        "disjoint": _mean(disjoint),
        "gca": _mean(greedy),
        "optimum": _mean([None if each is None else each.slots for each in fewest]),
        "lower_bound": _mean([result.bound[place] for result in results]),
        "runs_disjoint_carry": sum(each is not None for each in disjoint),
        "runs_gca_carries": sum(each is not None for each in greedy),
    }


def _draw(study: Study, rows: list[Row]) -> None:
    figure = panels(1)
    axes = figure.axes[0]
    for column, label, style in (
        ("disjoint", "c·K(c), disjoint chains", "s-"),
        ("gca", "GCA", "o-"),
        ("optimum", "integer program", "x--"),
        ("lower_bound", "⌈λ/(ρ̄μ₁)⌉", ":"),
    ):
        axes.plot(RATES, [row[column] for row in rows], style, label=label)
    axes.set(xlabel="λ (jobs/s)", ylabel="job servers needed for λ/ρ̄")
    axes.legend()
    caption = f"Mean of {study.scale.runs} clusters; J = {SERVERS}, η = {FAST_SHARE}, c = {RESERVE}"
    study.write("fig4", rows, figure, caption)


def _mean(values: list[int | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")
