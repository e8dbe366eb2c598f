"""``swarm plan``: what a set of machines would give, and which blocks each should host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.figures import json_bounds
from cli.stderr import progress, reported

if TYPE_CHECKING:
    from cli.cluster import Cluster
    from routing.plan.reserve import Plan

ClusterPath = Annotated[
    Path, typer.Argument(metavar="CLUSTER.yaml", help="A model and the machines; docs/planning.md describes the file.")
]


def plan(
    cluster: ClusterPath,
    arrival_rate: Annotated[float, typer.Option(help="Jobs that arrive per second.")],
    reserve: options.Reserve = None,
    stop_early: options.StopEarly = False,
    json_output: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show how a cluster should share a model's blocks, and how long jobs would then take."""
    with reported(debug):
        from cli.cluster import read_cluster

        described = read_cluster(cluster)
        made = make_plan(described, arrival_rate, reserve, stop_early)
        if json_output:
            print(json.dumps(as_json(described, made), allow_nan=False))
            return

        from rich.console import Console

        from cli.plan_view import plan_view

        # Names in the file are text, not markup.
        console = Console(markup=False, emoji=False, highlight=False)
        console.print(plan_view(described, made, arrival_rate, console.width))


def make_plan(cluster: Cluster, arrival_rate: float, reserve: int | None, stop_early: bool) -> Plan:
    """The plan for ``reserve`` (c), or for the c with the least response time.

    Raises UsageError if no server has room for that many jobs, MemoryTooSmall or Overloaded if there is no plan.
    """
    from routing.errors import UsageError
    from routing.plan.reserve import choose_reserve, reserves

    choices = reserves(cluster.servers, cluster.model)
    if reserve is not None and reserve < 1:
        raise UsageError(f"--reserve {reserve} is out of range; give at least 1")
    if reserve is not None and choices and reserve not in choices:
        raise UsageError(
            f"--reserve {reserve} is out of range: beside one block no server has cache for more than "
            f"{choices[-1]:,} jobs; give 1 to {choices[-1]}"
        )
    with progress(f"comparing {len(choices):,} plans" if reserve is None else "planning"):
        return choose_reserve(
            cluster.servers,
            cluster.model,
            arrival_rate,
            stop_early=stop_early,
            candidates=None if reserve is None or not choices else [reserve],
        )


def as_json(cluster: Cluster, plan: Plan) -> dict[str, Any]:
    """What --json prints. Blocks count from 0 and spans exclude their end; what does not exist is null."""
    from routing.plan.cluster import total_rate

    servers = cluster.servers
    return {
        "reserve": plan.reserve,
        "placement": [
            {"server": server.name, "start": span.start, "end": span.end}
            for server, span in zip(servers, plan.placement.spans, strict=True)
            if span is not None
        ],
        "chains": [
            {
                "hops": [
                    {"server": servers[link.server].name, "start": link.span.start, "end": link.span.end}
                    for link in chain.links
                ],
                "service_seconds": chain.service_seconds,
                "capacity": chain.capacity,
            }
            for chain in plan.chains
        ],
        "total_rate": total_rate(plan.chains),
        "response_seconds": json_bounds(plan.bounds),
        "candidates": [
            {
                "reserve": candidate.reserve,
                **(json_bounds(candidate.bounds) if candidate.bounds else {"lower": None, "upper": None}),
                "surrogate": candidate.surrogate,
                "chains": candidate.chains,
            }
            for candidate in plan.candidates
        ],
    }
