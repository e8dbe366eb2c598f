"""Figure 3: job servers that GBP-CR's placement needs, against random placements."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from paper.clusters import simulated_cluster
from paper.settings import RESERVE, SERVERS, SIMULATED_MODEL
from paper.study import Claim, Outcome, Row, Study, panels
from routing.plan.cluster import Server, hosted_blocks
from routing.plan.gbp_cr import Placement, chains_for_rate, gbp_cr
from routing.plan.reserve import TARGET_LOAD

FAST_SHARES = (0.0, 0.2)
COUNTS = (SERVERS, 5 * SERVERS)
"""J: the paper's, and a larger swarm, in which more than three chains can be formed."""
STEPS = 10
"""Arrival rates of each panel."""


class Cell(NamedTuple):
    servers: tuple[Server, ...]
    rates: tuple[float, ...]
    placements: int
    seed: tuple[int, ...]


class Needed(NamedTuple):
    """c·K(c) for each rate; infinite where all chains together do not reach it."""

    greedy: tuple[float, ...]
    random: tuple[tuple[float, ...], ...]
    """One for each random placement."""


def random_placement(servers: tuple[Server, ...], rng: np.random.Generator) -> Placement:
    """As many blocks on each server as GBP-CR puts there, servers one after the other in random order."""
    chains: list[tuple[int, ...]] = []
    chain_seconds: list[float] = []
    links: list[int] = []
    first, seconds = 0, 0.0
    for index in rng.permutation(len(servers)).tolist():
        count = hosted_blocks(servers[index], SIMULATED_MODEL, RESERVE)
        links.append(index)
        seconds += servers[index].job_seconds(count)
        first += count
        if first >= SIMULATED_MODEL.blocks:
            chains.append(tuple(links))
            chain_seconds.append(seconds)
            links, first, seconds = [], 0, 0.0
    return Placement((), tuple(chain_seconds), tuple(chains))


def count_job_servers(cell: Cell) -> Needed:
    rng = np.random.default_rng(cell.seed)

    def needed(placement: Placement) -> tuple[float, ...]:
        counts = (chains_for_rate(placement, rate / (TARGET_LOAD * RESERVE)) for rate in cell.rates)
        return tuple(float("inf") if count is None else float(RESERVE * count) for count in counts)

    return Needed(
        needed(gbp_cr(cell.servers, SIMULATED_MODEL, RESERVE)),
        tuple(needed(random_placement(cell.servers, rng)) for _ in range(cell.placements)),
    )


def make(study: Study) -> Outcome:
    rows: list[Row] = []
    claims: list[Claim] = []
    cases = [(count, share) for count in COUNTS for share in FAST_SHARES]
    figure = panels(len(cases))
    for axes, (count, share) in zip(figure.axes, cases, strict=True):
        rates, results = _measure(study, count, share)
        greedy = np.array([result.greedy for result in results])
        drawn = np.array([result.random for result in results])
        rows += _rows(count, share, rates, greedy, drawn)
        claims.append(_claim(study, count, share, greedy, drawn.min(axis=1)))
        for label, column, style in (
            ("random, worst", "random_worst", ":"),
            ("random, median", "random_median", "--"),
            ("random, best", "random_best", "-."),
            ("GBP-CR", "gbp_cr", "-"),
        ):
            axes.plot(rates, [row[column] for row in rows[-STEPS:]], style, drawstyle="steps-mid", label=label)
        axes.set(title=f"J = {count}, η = {share:g}", xlabel="λ (jobs/s)", ylabel="c·K(c), job servers needed")
        axes.legend(fontsize=8)
    study.write("fig3", rows, figure, f"Median of {study.scale.runs} clusters; c = {RESERVE}. No line: not reached")
    return Outcome(
        "Figure 3: GBP-CR against random placements",
        tuple(claims),
        f"A random placement puts as many blocks on each server as GBP-CR does (c = {RESERVE}) and takes the servers "
        "in random order. A case is one cluster at one λ; where a placement's chains do not carry λ/ρ̄ it counts as "
        "infinitely many job servers. With 20 servers at most three chains form, so at λ = 0.2 one chain is enough "
        "for every placement; the larger λ and J = 100 are ours.",
    )


def _measure(study: Study, count: int, share: float) -> tuple[tuple[float, ...], list[Needed]]:
    """Arrival rates up to the most that GBP-CR's chains carry, and what each cluster needs for them."""
    clusters = [
        simulated_cluster(count, share, study.inputs.rtts, study.rng(3, count, round(10 * share), run))
        for run in range(study.scale.runs)
    ]
    most = max(sum(1 / s for s in gbp_cr(c, SIMULATED_MODEL, RESERVE).chain_seconds) for c in clusters)
    rates = tuple(float(rate) for rate in np.linspace(0, most * RESERVE * TARGET_LOAD, STEPS + 1)[1:])
    cells = [
        Cell(cluster, rates, study.scale.random_placements, (study.seed, 33, run))
        for run, cluster in enumerate(clusters)
    ]
    return rates, study.run(f"figure 3: J = {count}, η = {share}", count_job_servers, cells)


def _rows(count: int, share: float, rates: tuple[float, ...], greedy: np.ndarray, drawn: np.ndarray) -> list[Row]:
    best = drawn.min(axis=1)
    return [
        {
            "servers": count,
            "fast_share": share,
            "arrival_rate": rate,
            "gbp_cr": _median(greedy[:, place]),
            "random_best": _median(best[:, place]),
            "random_median": _median(np.median(drawn[:, :, place], axis=1)),
            "random_worst": _median(drawn[:, :, place].max(axis=1)),
            "runs_gbp_cr_worse_than_best": int((greedy[:, place] > best[:, place]).sum()),
            "runs_gbp_cr_better_than_best": int((greedy[:, place] < best[:, place]).sum()),
        }
        for place, rate in enumerate(rates)
    ]


def _claim(study: Study, count: int, share: float, greedy: np.ndarray, best: np.ndarray) -> Claim:
    worse, better = int((greedy > best).sum()), int((greedy < best).sum())
    return Claim(
        f"c·K(c) of GBP-CR is as good as the best of {study.scale.random_placements} random placements or better "
        f"(J = {count}, η = {share:g})",
        f"better in {better}, equal in {greedy.size - better - worse}, worse in {worse} of {greedy.size} cases",
        worse == 0,
    )


def _median(values: np.ndarray) -> float:
    """Infinite where most are; the midpoint of a finite and an infinite number is not wanted."""
    return float(np.sort(values)[len(values) // 2])
