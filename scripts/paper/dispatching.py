"""Figure 5: join the fastest free chain against other rules on the same chains, and against its bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from paper.settings import ARRIVAL_RATE, FAST_SHARE, SERVERS, SIMULATED_MODEL, WARM_UP
from paper.study import Claim, Outcome, Row, Study, half_width, panels
from routing.plan.cluster import Server, total_rate
from routing.plan.reserve import choose_reserve
from routing.plan.response_time import response_time_bounds
from routing.simulation import DISPATCH_RULES, fixed_chain_policy, mean_times, poisson_jobs, simulate

LOW_LOAD, SERVICE_SHARE = 0.7, 0.85
"""Below this load service takes more than this share of JFFC's response time (section 5)."""


class Cell(NamedTuple):
    servers: tuple[Server, ...]
    load: float
    jobs: int
    seed: tuple[int, ...]


class Measured(NamedTuple):
    responses: tuple[float, ...]
    """Mean seconds under each of DISPATCH_RULES."""
    service: float
    """Mean seconds under JFFC."""
    lower: float
    upper: float


def compare_rules(cell: Cell) -> Measured:
    chains = choose_reserve(cell.servers, SIMULATED_MODEL, ARRIVAL_RATE).chains
    rate = cell.load * total_rate(chains)
    jobs = poisson_jobs(rate, cell.jobs, np.random.default_rng(cell.seed))
    times = mean_times(cell.servers)
    summaries = [
        simulate(fixed_chain_policy(rule, chains), jobs, times, np.random.default_rng([*cell.seed, 1])).summary(WARM_UP)
        for rule in DISPATCH_RULES
    ]
    bounds = response_time_bounds(chains, rate)
    return Measured(
        tuple(summary.response.mean for summary in summaries),
        summaries[DISPATCH_RULES.index("jffc")].service.mean,
        bounds.lower,
        bounds.upper,
    )


def make(study: Study) -> Outcome:
    clusters = study.clusters(5)
    cells = [
        Cell(cluster, load, study.scale.jobs, (study.seed, 55, run))
        for load in study.scale.loads
        for run, cluster in enumerate(clusters)
    ]
    groups = study.run_groups("figure 5", compare_rules, cells, len(clusters))
    by_load = dict(zip(study.scale.loads, groups, strict=True))
    rows = [_row(load, runs) for load, runs in by_load.items()]
    _draw(study, rows)
    low = [row["jffc_service_share"] for row in rows if row["load"] < LOW_LOAD]
    between = [row["lower"] - row["noise"] <= row["jffc"] <= row["upper"] + row["noise"] for row in rows]
    return Outcome(
        "Figure 5: dispatching rules on the same chains",
        (
            _best_rule(rows, by_load),
            Claim(
                "simulated JFFC lies between the bounds of Theorem 4",
                f"at {sum(between)} of {len(between)} loads, within the interval of the mean",
                all(between),
            ),
            Claim(
                f"service is over {SERVICE_SHARE:.0%} of JFFC's response time while the load is below {LOW_LOAD}",
                f"at least {100 * min(low):.1f}%",
                min(low) > SERVICE_SHARE,
            ),
        ),
        f"Chains are those of the plan for λ = {ARRIVAL_RATE} on each cluster; all rules get the same jobs. A rule "
        "counts as better if the paired 95% interval over clusters says so. SED lets a job wait for a fast chain that "
        "is full while a slow one is free, which JFFC never does: at low load, when the fast chain is soon free again, "
        "that may gain a little; the more load, the more it loses, since a job once sent waits for its chain.",
    )


def _row(load: float, runs: Sequence[Measured]) -> Row:
    means = np.mean([run.responses for run in runs], axis=0).tolist()
    jffc = DISPATCH_RULES.index("jffc")
    return (
        {"load": load}
        | dict(zip(DISPATCH_RULES, means, strict=True))
        | {
            "jffc_half_interval": half_width([run.responses[jffc] for run in runs]),
            "lower": float(np.mean([run.lower for run in runs])),
            "upper": float(np.mean([run.upper for run in runs])),
            # What the bound on the same cluster leaves unexplained: the clusters' differences cancel out.
            "noise": half_width([run.responses[jffc] - run.lower for run in runs]),
            "jffc_service_share": float(np.mean([run.service for run in runs])) / means[jffc],
        }
    )


def _best_rule(rows: Sequence[Row], by_load: Mapping[float, Sequence[Measured]]) -> Claim:
    above: list[str] = []
    better: list[str] = []
    for place, rule in enumerate(DISPATCH_RULES):
        if rule == "jffc":
            continue
        shares = [100 * (row[rule] / row["jffc"] - 1) for row in rows]
        above.append(f"{rule} {min(shares):.1f} to {max(shares):.1f}%")
        for load, runs in by_load.items():
            ahead = [run.responses[DISPATCH_RULES.index("jffc")] - run.responses[place] for run in runs]
            mean, interval = float(np.mean(ahead)), half_width(ahead)
            if mean > max(interval, 0.0):
                better.append(f"{rule} at load {load:g} by {mean:.3f} ± {interval:.3f} s")
    return Claim(
        "JFFC has the least mean response time of JFFC, JSQ, JIQ, SED and SA-JSQ at every load",
        f"others above JFFC by {', '.join(above)}" + (f"; better than JFFC: {'; '.join(better)}" if better else ""),
        not better,
    )


def _draw(study: Study, rows: Sequence[Row]) -> None:
    loads = [row["load"] for row in rows]
    figure = panels(3)
    rules, bounds, share = figure.axes
    for rule in DISPATCH_RULES:
        rules.plot(loads, [row[rule] for row in rows], "o-", label=rule, markersize=3)
    rules.set(xlabel="load λ/ν", ylabel="mean response (s)", yscale="log")
    rules.legend(fontsize=8)
    bounds.errorbar(
        loads,
        [row["jffc"] for row in rows],
        [row["jffc_half_interval"] for row in rows],
        fmt="o-",
        label="JFFC, simulated",
        markersize=3,
    )
    bounds.plot(loads, [row["lower"] for row in rows], "--", label="lower bound")
    bounds.plot(loads, [row["upper"] for row in rows], ":", label="upper bound")
    bounds.set(xlabel="load λ/ν", ylabel="mean response (s)")
    bounds.legend(fontsize=8)
    share.plot(loads, [row["jffc_service_share"] for row in rows], "o-")
    share.axhline(SERVICE_SHARE, color="grey", linestyle=":")
    share.set(xlabel="load λ/ν", ylabel="service / response under JFFC")
    study.write("fig5", rows, figure, f"Mean of {study.scale.runs} clusters; J = {SERVERS}, η = {FAST_SHARE}")
