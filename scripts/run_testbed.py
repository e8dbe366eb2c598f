"""The paper's experiment with real node processes: emulated GPUs, real delays, a replayed trace, policy after policy.

    sudo python scripts/run_testbed.py [--rtt CSV] [--trace CSV] [--requests 1000] [--policy proposed …]

Nine nodes (3 of 40 GB, 6 of 20 GB) in network namespaces serve the shapes of LLaMA-2-7B; see docs/testbed.md. Root is
needed for the namespaces only: with --loopback there are none, and no delays. Written below --out: every request's
outcome, summary.csv, testbed.png, and the logs of all processes.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from paper.inputs import Inputs, load_inputs
from paper.settings import TRACE_MODEL
from routing.errors import SwarmError
from testbed.bed import Loopback, Options, WideArea, run
from testbed.cluster import Cluster, paper_machines
from testbed.policies import PolicyName, Settings, place, predict
from testbed.report import Result, show, write
from testbed.wan import Wan, delays_from_rtts

LOAD_SECONDS = 0.1
"""For a block of 0.44 GB, from a fast disk."""
SETTLE_SECONDS = 30.0

console = Console(width=None if sys.stdout.isatty() else 120)


@dataclass(frozen=True, slots=True)
class Link:
    """What lies between two hosts beside the delay."""

    loopback: bool
    """Nothing: the hosts are one."""
    rate_bits: float
    loss: float


def main(
    rtt: Annotated[Path | None, typer.Option(help="Round-trip times (RIPE Atlas).")] = None,
    trace: Annotated[Path | None, typer.Option(help="Requests (Azure LLM inference trace 2023).")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write anew.")] = Path("build/testbed"),
    requests: Annotated[int, typer.Option(min=2, help="The first of the trace.")] = 1000,
    policy: Annotated[list[PolicyName] | None, typer.Option(help="May be repeated; default: all.")] = None,
    loopback: Annotated[bool, typer.Option("--loopback", help="No namespaces and no delays; no root.")] = False,
    self_organised: Annotated[
        bool, typer.Option("--self-organised", help="Nodes of the proposed choose their blocks themselves.")
    ] = False,
    alone: Annotated[
        bool, typer.Option("--alone", help="Jobs on one GPU do not slow each other down, as the paper's model has it.")
    ] = False,
    compute_factor: Annotated[float, typer.Option(help="Multiplies all computing times.")] = 1.0,
    clients: Annotated[int, typer.Option(min=1, help="Independent clients that the requests come from.")] = 8,
    reserve: Annotated[int | None, typer.Option(min=1, help="c of the proposed; default: chosen.")] = None,
    petals_cache_jobs: Annotated[float, typer.Option(help="Sessions a block that PETALS caches; it has 2 or 8.")] = 8.0,
    rate: Annotated[float, typer.Option(help="Mbit/s between two hosts, each way.")] = 100.0,
    loss: Annotated[float, typer.Option(help="Share of packets lost.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
) -> None:
    computing = "jobs alone on their GPUs" if alone else "one batch at a time on a GPU"
    results: list[Result] = []
    try:
        inputs = load_inputs(rtt, trace, seed)
        sources = {
            "round trips": "none" if loopback else inputs.rtt_source,
            "requests": inputs.trace_source,
            "computing": f"formula × {compute_factor:g}, {computing}",
        }
        cluster = _cluster(inputs, compute_factor, loopback, seed)
        settings = Settings(inputs.trace[:requests], reserve, petals_cache_jobs, seed)
        options = Options(not alone, self_organised, clients, LOAD_SECONDS, 0.0 if loopback else SETTLE_SECONDS)
        for name in policy or PolicyName:
            results.append(_compare(name, cluster, settings, options, Link(loopback, rate * 1e6, loss), out))
            write(out, results, sources)
    except SwarmError as error:
        console.print(f"[red]error:[/] {error}")
        raise typer.Exit(error.exit_code) from error
    finally:
        show(console, results)
    console.print(f"{os.cpu_count()} cores; " + "; ".join(f"{what}: {text}" for what, text in sources.items()))
    console.print(f"Outcomes, logs, summary.csv and testbed.png are in {out}")


def _compare(name: PolicyName, cluster: Cluster, settings: Settings, options: Options, link: Link, out: Path) -> Result:
    """One policy, in the bed and in the simulator."""
    console.print(f"{name.value}: starting {len(cluster.machines)} nodes, then {len(settings.jobs)} requests")
    folder = out / name.value
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    placed = place(name, cluster, settings)

    def tell(text: str) -> None:
        console.print(f"{name.value}: {text}")

    if link.loopback:
        ran, traffic = run(Loopback(), cluster, placed, settings, options, folder, tell), None
    else:
        with Wan(cluster.client + 1, cluster.delays, link.rate_bits, link.loss) as wan:
            ran = run(WideArea(wan), cluster, placed, settings, options, folder, tell)
            traffic = wan.traffic()
    return Result(name, ran, predict(name, cluster, settings, ran.spans, shared=options.shared), traffic)


def _cluster(inputs: Inputs, compute_factor: float, loopback: bool, seed: int) -> Cluster:
    machines = paper_machines(compute_factor)
    hosts = len(machines) + 1
    rtts = np.zeros(1) if loopback else inputs.rtts
    delays = delays_from_rtts(rtts, hosts, np.random.default_rng([seed, 0]))
    return Cluster(TRACE_MODEL, machines, tuple(map(tuple, delays)))


if __name__ == "__main__":
    typer.run(main)
