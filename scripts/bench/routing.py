"""How long the planning algorithms and the simulator take, from a hundred servers to ten thousand.

    python scripts/bench routing [--out build/bench_routing] [--quick]

Prints a table and writes growth.png, growth.csv and results.json. One thread; run it with nothing else running.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bench.shared.harness import Out, Results, Spread, console, show
from routing import ModelShape, Server, choose_reserve, gbp_cr, gca
from routing.simulation import build_policy, mean_times, poisson_jobs, simulate

MODEL = ModelShape(blocks=80, block_bytes=1.32e9, cache_bytes=0.11e9)
RESERVE = 7
SIZES = (100, 200, 500, 1_000, 2_000, 5_000, 10_000)
RUNS = 3


@dataclass(frozen=True, slots=True)
class Growth:
    """One point of the plot."""

    cluster: str
    servers: int
    gbp_cr: float
    """Seconds."""
    gca: float
    """Seconds."""
    chains: int


def two_kinds(count: int) -> list[Server]:
    """One server in five is fast, as in the paper's simulation; network times differ from server to server."""
    draw = random.Random(0)
    return [
        Server(f"fast{number}", 40e9, 0.018 + draw.expovariate(1 / 0.02), 0.109)
        if draw.random() < 0.2
        else Server(f"slow{number}", 20e9, 0.018 + draw.expovariate(1 / 0.02), 0.175)
        for number in range(count)
    ]


def all_different(count: int) -> list[Server]:
    """No two servers have the same memory or speed."""
    draw = random.Random(0)
    return [
        Server(f"s{number}", draw.uniform(8e9, 80e9), 0.018 + draw.expovariate(1 / 0.02), draw.uniform(0.05, 0.3))
        for number in range(count)
    ]


CLUSTERS: dict[str, Callable[[int], list[Server]]] = {"two kinds": two_kinds, "all different": all_different}


def seconds(action: Callable[[], object], runs: int) -> float:
    """Median of several runs."""
    taken: list[float] = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return Spread.of(taken).median


def growth(sizes: Sequence[int], runs: int) -> list[Growth]:
    points: list[Growth] = []
    for kind, make in CLUSTERS.items():
        for size in sizes:
            servers = make(size)
            spans = gbp_cr(servers, MODEL, RESERVE).spans
            point = Growth(
                kind,
                size,
                gbp_cr=seconds(partial(gbp_cr, servers, MODEL, RESERVE), runs),
                gca=seconds(partial(gca, servers, MODEL, spans), runs),
                chains=len(gca(servers, MODEL, spans)),
            )
            console.print(
                f"{kind}, {size:,} servers: GBP-CR {point.gbp_cr:.4f} s, GCA {point.gca:.3f} s, {point.chains:,} chains"
            )
            points.append(point)
    return points


def limits(quick: bool) -> dict[str, float]:
    """The single figures: the choice of c over a thousand servers, and a hundred thousand simulated jobs."""
    size, count = (100, 5_000) if quick else (1_000, 100_000)
    rate = size / 50
    figures = {
        f"choose_reserve, {size:,} servers, {kind}": seconds(partial(choose_reserve, make(size), MODEL, rate), runs=1)
        for kind, make in CLUSTERS.items()
    }
    servers = two_kinds(20)
    for policy in ("proposed", "petals", "bprr"):
        rng = np.random.default_rng(0)
        built = build_policy(policy, servers, MODEL, 0.2, rng=rng)
        jobs = poisson_jobs(0.2, count, rng)
        figures[f"{count:,} simulated jobs, {policy}, 20 servers"] = seconds(
            partial(simulate, built, jobs, mean_times(servers), rng), runs=1
        )
    return figures


def main(
    out: Out = Path("build/bench_routing"),
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, one run: to see that it works.")] = False,
) -> None:
    """Measure, print and write the results."""
    results = Results(out)
    points = growth(SIZES[:3] if quick else SIZES, 1 if quick else RUNS)
    figures = limits(quick)
    results.write_rows("growth", points)
    results.write(seconds=figures)
    with results.plot("growth", (6, 4)) as axes:
        for kind in CLUSTERS:
            for algorithm, style in (("gca", "o-"), ("gbp_cr", "s--")):
                chosen = [point for point in points if point.cluster == kind]
                axes.loglog(
                    [point.servers for point in chosen],
                    [getattr(point, algorithm) for point in chosen],
                    style,
                    label=f"{algorithm.upper().replace('_', '-')}, {kind}",
                )
        axes.set(xlabel="servers", ylabel="seconds", title=f"{MODEL.blocks} blocks, c = {RESERVE}")
        axes.grid(alpha=0.3)
        axes.legend()
    show(figures.items(), ("what", lambda line: line[0]), ("seconds", lambda line: f"{line[1]:.2f}"))
    console.print(f"written to {out}")
