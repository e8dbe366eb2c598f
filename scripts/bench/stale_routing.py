"""What it costs that nobody is in charge: clients with old records against an all-knowing dispatcher.

    python scripts/bench stale_routing [--clusters 3] [--jobs 3000] [--out build/bench_stale_routing]

Fifty clients read the records every 10 to 60 s and follow the protocol of routing/simulation/stale_clients.py; the same
jobs go to JFFC as arXiv 2604.14993 has it, which knows everything at once and sends no messages. Clusters: the paper's
default (BLOOM-176B, 20 servers, one in five fast) and swarms of 8 to 24 unlike servers; placement by GBP-CR with the
best c. Variants differ in what a server's cache is given away as:

- ``server``: one pool for each server, and any way through the servers may be taken;
- ``chains``: the same, but only links of GCA's chains are taken;
- ``lanes``: every link of GCA's chains keeps the cache that the chains count on.

``, age 0`` reads the records at every look, so that only messages cost time; ``, no doubt`` believes what seems full,
however old that is; ``, off`` has no counter-measure. Printed:
mean response time as a ratio to central JFFC. Written: loads.csv, herding.csv, stale_routing.png.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import typer

from bench.shared.drawn_swarm import draw_server
from bench.shared.harness import Out, Results, Workers, console, in_processes, show
from paper.clusters import simulated_cluster
from paper.inputs import synthetic_rtts
from paper.settings import ARRIVAL_RATE, FAST_SHARE, HANDLING_SECONDS, SERVERS, SIMULATED_MODEL, WARM_UP
from routing import ModelShape, Plan, Server, choose_reserve, gbp_cr, gca, total_rate
from routing.errors import CapacityError
from routing.plan.cluster import hosted_blocks
from routing.simulation import (
    HABITS_OFF,
    Dispatcher,
    Habits,
    Job,
    Policy,
    ServerTime,
    StaleClientsPolicy,
    bprr_policy,
    fixed_chain_policy,
    lane_pools,
    mean_times,
    petals_policy,
    poisson_jobs,
    server_pools,
    simulate,
)
from routing.simulation.links import LinkGraph
from routing.simulation.stale_dispatch import Clients

LOADS = (0.3, 0.5, 0.7, 0.9)
AGES = (1.0, 10.0, 30.0, 60.0, 120.0)
HERDING_LOAD = 0.7
RULES = ("jsq", "jiq", "sed", "sa-jsq", "random")
OURS = "lanes"
BELIEVING = Habits(doubt_seconds=math.inf, attempts=1000)
HABITS = {
    "all": Habits(),
    "no ledger": Habits(ledger=False),
    "no randomness": Habits(near_equal=0.0),
    "no tickets": Habits(tickets=False),
    "no doubt": BELIEVING,
    "none": HABITS_OFF,
}


@dataclass(frozen=True, slots=True)
class Cluster:
    name: str
    servers: tuple[Server, ...]
    model: ModelShape
    one_way: tuple[float, ...]
    """Seconds from a client to each server."""
    planned_rate: float | None
    """What the placement is made for; None for the rate that comes."""


@dataclass(frozen=True, slots=True)
class Cell:
    cluster: Cluster
    load: float
    jobs: int
    ages: tuple[float, ...] = ()
    """Of views, for the herding curve; without, policies are compared."""


@dataclass(frozen=True, slots=True)
class Result:
    cluster: str
    load: float
    policy: str
    view_seconds: float
    """Mean interval of readings."""
    response: float
    """Mean, as a ratio to central JFFC; infinite if the policy cannot carry the load."""
    wait: float
    """Mean seconds from arrival to start."""
    refusals: float
    waits: float
    """Per job."""


class Watched:
    """A policy whose dispatcher's counts stay at hand."""

    def __init__(self, policy: StaleClientsPolicy) -> None:
        self.name = policy.name
        self._policy = policy
        self.counts: dict[str, int] = {}

    def dispatcher(self, jobs: Sequence[Job], times: Sequence[ServerTime], rng: np.random.Generator) -> Dispatcher:
        dispatcher = self._policy.dispatcher(jobs, times, rng)
        assert isinstance(dispatcher, Clients)
        self.counts = dispatcher.counts
        return dispatcher


def paper_cluster(seed: int) -> Cluster:
    rng = np.random.default_rng([seed, 1])
    servers = simulated_cluster(SERVERS, FAST_SHARE, synthetic_rtts(rng), rng)
    one_way = tuple((server.comm_seconds - HANDLING_SECONDS) / 2 for server in servers)
    return Cluster(f"paper {seed}", servers, SIMULATED_MODEL, one_way, ARRIVAL_RATE)


def unlike_cluster(seed: int) -> Cluster:
    draw = random.Random(seed)
    while True:  # until they hold every block one and a half times, with cache for two jobs
        model = ModelShape(draw.choice([24, 32, 40, 60, 80]), 1e9, 0.3e9)
        servers = tuple(draw_server(draw, number) for number in range(draw.randint(8, 24)))
        if sum(hosted_blocks(server, model, 2) for server in servers) >= 1.5 * model.blocks:
            break
    rng = np.random.default_rng(seed)
    one_way = tuple((rng.choice(synthetic_rtts(rng), len(servers)) / 2).tolist())
    return Cluster(f"unlike {seed}", servers, model, one_way, None)


def plan_for(cell: Cell) -> tuple[Plan, float]:
    """The placement, and the arrival rate that loads its chains as asked."""
    cluster = cell.cluster
    planned = cluster.planned_rate
    if planned is None:
        placements = (gbp_cr(cluster.servers, cluster.model, reserve).spans for reserve in (1, 2, 4, 8, 16, 32))
        planned = cell.load * max(total_rate(gca(cluster.servers, cluster.model, spans)) for spans in placements)
    plan = choose_reserve(cluster.servers, cluster.model, planned)
    return plan, cell.load * total_rate(plan.chains)


def compare(cell: Cell) -> list[Result]:
    """All policies of one cell on the same jobs; a pure function, for a pool of processes."""
    plan, rate = plan_for(cell)
    cluster = cell.cluster
    jobs = poisson_jobs(rate, cell.jobs, np.random.default_rng(7))
    graph = LinkGraph(cluster.servers, cluster.model, plan.placement.spans, "GBP-CR")
    central = run(cell, fixed_chain_policy("jffc", plan.chains), jobs, 1.0)
    lanes = StaleClientsPolicy(lane_pools(graph, plan.chains), cluster.one_way, name=OURS)
    if cell.ages:
        policies: list[Policy] = [
            replace(lanes, habits=habits, view_seconds=(age, age), name=name)
            for age in cell.ages
            for name, habits in HABITS.items()
        ]
    else:
        policies = [
            lanes,
            replace(lanes, view_seconds=(0.0, 0.0), announce_seconds=0.0, name="lanes, age 0"),
            replace(lanes, habits=HABITS_OFF, name="lanes, off"),
            replace(lanes, pools=server_pools(graph, plan.chains), name="chains"),
            replace(lanes, pools=server_pools(graph), name="server"),
            replace(lanes, pools=server_pools(graph), habits=BELIEVING, name="server, no doubt"),
            *(fixed_chain_policy(rule, plan.chains) for rule in RULES),
        ]
        try:
            policies.append(petals_policy(cluster.servers, cluster.model, np.random.default_rng(1), spare_memory=True))
            policies.append(bprr_policy(cluster.servers, cluster.model, rate))
        except CapacityError as error:
            console.print(f"{cluster.name}, load {cell.load}: {error}")
    return [run(cell, policy, jobs, central.response) for policy in policies]


def run(cell: Cell, policy: Policy, jobs: Sequence[Job], unit: float) -> Result:
    watched = Watched(policy) if isinstance(policy, StaleClientsPolicy) else None
    response = wait = math.inf
    try:
        summary = simulate(watched or policy, jobs, mean_times(cell.cluster.servers), np.random.default_rng(3)).summary(
            WARM_UP
        )
        response, wait = summary.response.mean / unit, summary.wait.mean
    except CapacityError:
        pass  # overloaded: its times would only grow with the number of jobs
    counts = watched.counts if watched else {}
    refusals, waits = (counts.get(what, 0) / len(jobs) for what in ("refusals", "waits"))
    seconds = mean(policy.view_seconds) if isinstance(policy, StaleClientsPolicy) else 0.0
    return Result(cell.cluster.name, cell.load, policy.name, seconds, response, wait, refusals, waits)


def main(
    clusters: Annotated[int, typer.Option(min=1, help="Of each of the two kinds.")] = 3,
    jobs: Annotated[int, typer.Option(min=100, help="In each simulation.")] = 3000,
    seed: Annotated[int, typer.Option(help="Of the first cluster.")] = 2,
    workers: Workers = 1,
    out: Out = Path("build/bench_stale_routing"),
) -> None:
    """Measure, print and write the results."""
    written = Results(out)
    made = [make(number) for make in (paper_cluster, unlike_cluster) for number in range(seed, seed + clusters)]
    cells = [Cell(cluster, load, jobs) for cluster in made for load in LOADS]
    herding = [Cell(cluster, HERDING_LOAD, jobs, AGES) for cluster in (made[0], made[-1])]
    found = in_processes(workers, "cells", compare, cells + herding)
    loads = [result for results in found[: len(cells)] for result in results]
    curve = [result for results in found[len(cells) :] for result in results]
    written.write_rows("loads", loads)
    written.write_rows("herding", curve)
    for kind in ("paper", "unlike"):
        show_loads(f"{kind} clusters: mean (worst) response / central JFFC", of_kind(loads, kind))
    show_curve(curve)
    with written.plot("stale_routing", (10, 7), rows=2, columns=2) as panels:
        plot(loads, curve, panels)
    console.print(f"written to {out}")


def of_kind(rows: Sequence[Result], kind: str) -> list[Result]:
    return [row for row in rows if row.cluster.startswith(kind)]


def show_loads(title: str, rows: Sequence[Result]) -> None:
    def cell(policy: str, load: float) -> str:
        values = [row.response for row in rows if row.policy == policy and row.load == load]
        return f"{mean(values):.3f} ({max(values):.3f})" if values else ""

    def refusals(policy: str) -> str:
        asked = [row.refusals for row in rows if row.policy == policy and row.load == LOADS[-1]]
        return f"{mean(asked):.2f}" if any(asked) else ""

    by_load = [(f"load {load}", partial(cell, load=load)) for load in LOADS]
    show(names(rows), ("policy", str), *by_load, ("refusals a job at 0.9", refusals), title=title)


def show_curve(rows: Sequence[Result]) -> None:
    for cluster in names(rows, "cluster"):

        def cell(policy: str, age: int, cluster: str = cluster) -> str:
            row = [row for row in rows if row.cluster == cluster and row.policy == policy][age]
            return f"{row.response:.3f} ({row.refusals:.2f})"

        by_age = [(f"{seconds:g}", partial(cell, age=age)) for age, seconds in enumerate(AGES)]
        title = f"{cluster}, load {HERDING_LOAD}: response / central JFFC (refusals a job)"
        show(HABITS, ("seconds between readings", str), *by_age, title=title)


def names(rows: Sequence[Result], what: str = "policy") -> list[str]:
    return list(dict.fromkeys(getattr(row, what) for row in rows))


def plot(loads: Sequence[Result], curve: Sequence[Result], panels: Any) -> None:
    for axes, kind in zip(panels[0], ("paper", "unlike"), strict=True):
        rows = of_kind(loads, kind)
        for policy in names(rows):
            means = {
                load: mean(row.response for row in rows if row.policy == policy and row.load == load)
                for load in sorted({row.load for row in rows if row.policy == policy})
            }
            style = "o-" if policy.startswith(OURS) else "--"
            axes.plot(list(means), list(means.values()), style, label=policy, markersize=3)
        axes.set(xlabel="load", ylabel="mean response / central JFFC", title=f"{kind} clusters", ylim=(0.95, 2.0))
    for axes, cluster in zip(panels[1], names(curve, "cluster"), strict=True):
        for policy in HABITS:
            chosen = [row.response for row in curve if row.cluster == cluster and row.policy == policy]
            axes.loglog(AGES, chosen, "o-", label=policy, markersize=3)
        title = f"{cluster}, load {HERDING_LOAD}"
        axes.set(xlabel="seconds between readings", ylabel="mean response / central JFFC", title=title)
    for axes in panels.flat:
        axes.grid(alpha=0.3)
    for first in panels[:, 0]:
        first.legend(fontsize=7)
