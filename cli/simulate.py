"""``swarm simulate``: how long jobs would take on a cluster under one policy or another."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.figures import finite, json_bounds
from cli.plan import ClusterPath
from cli.sizes import quoted
from cli.stderr import reported
from routing.errors import UsageError

if TYPE_CHECKING:
    from cli.cluster import Cluster
    from cli.simulation import Choices, Comparison, Load, Outcome
    from routing.simulation import Spread

DEFAULT_JOBS = 10_000
MAX_JOBS = 10_000_000
"""They take about 3 GB of memory."""
MAX_WARM_UP = 0.99
RATES = (1e-6, 1e6)
"""Jobs per second; beyond these a clock in seconds loses the digits that times need."""
DEFAULT_POLICIES = ("proposed", "petals", "bprr", "jffc-only")
_POLICIES = "proposed, petals, bprr, jffc-only; on the chains of proposed also jffc, jsq, jiq, sed, sa-jsq, random"


def simulate(
    cluster: ClusterPath,
    arrival_rate: Annotated[
        float | None,
        typer.Option(help="Jobs per second, at random (Poisson). With --trace: stretch its arrivals to this rate."),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Take arrivals and lengths from a file with the columns TIMESTAMP,ContextTokens,GeneratedTokens. "
            "A job's computation follows from its lengths where the server has a device, else it is in proportion to "
            "all its tokens; its communication is in proportion to the tokens it generates.",
        ),
    ] = None,
    poisson: Annotated[
        bool, typer.Option("--poisson", help="Let the trace's jobs arrive at random instead of when they did.")
    ] = False,
    exponential: Annotated[
        bool,
        typer.Option("--exponential", help="Give the trace's jobs its mean lengths times an exponential size instead."),
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(help=f"Jobs to simulate; default {DEFAULT_JOBS:,}, or all of the trace.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 0,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help=f"Repeat to compare; default: {', '.join(DEFAULT_POLICIES)}. Known: {_POLICIES}."
        ),
    ] = None,
    paged: Annotated[
        bool,
        typer.Option(
            "--paged", help="Add proposed with a paged cache: a job reserves its own length, not the longest."
        ),
    ] = False,
    reserve: options.Reserve = None,
    stop_early: options.StopEarly = False,
    warm_up: Annotated[
        float, typer.Option(help="Share of the jobs, the first, that is left out of the figures.")
    ] = 0.1,
    json_output: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Simulate jobs on a cluster, and compare how long they take under several policies."""
    with reported(debug):
        _check_load(arrival_rate, trace, poisson or exponential, jobs)
        choices = _choices(policy, paged, seed, reserve, stop_early, warm_up)

        import numpy as np

        from cli.cluster import read_cluster
        from cli.simulation import compare, poisson_load, trace_load

        described = read_cluster(cluster)
        rng = np.random.default_rng([seed, 0])
        if trace is not None:
            load = trace_load(described, trace, jobs, arrival_rate, poisson=poisson, exponential=exponential, rng=rng)
        else:
            assert arrival_rate is not None, "checked above"
            load = poisson_load(described, arrival_rate, jobs or DEFAULT_JOBS, rng)
        _show(described, load, choices, compare(described, load, choices), json_output)


def _check_load(rate: float | None, trace: Path | None, changed: bool, jobs: int | None) -> None:
    if rate is None and trace is None:
        raise UsageError("give --arrival-rate RATE, or --trace CSV with the arrivals of real jobs")
    if rate is not None and not RATES[0] <= rate <= RATES[1]:
        raise UsageError(
            f"--arrival-rate {rate:g} is out of range; give {RATES[0]:f} to {RATES[1]:,.0f} jobs per second"
        )
    if changed and trace is None:
        raise UsageError("--poisson and --exponential change a trace, and jobs without one are both; give --trace CSV")
    if jobs is not None and not 1 <= jobs <= MAX_JOBS:
        raise UsageError(f"--jobs {jobs:,} is out of range; give 1 to {MAX_JOBS:,}")


def _choices(
    policies: list[str] | None, paged: bool, seed: int, reserve: int | None, stop_early: bool, warm_up: float
) -> Choices:
    from cli.simulation import PAGED, Choices
    from routing.simulation import POLICY_NAMES

    chosen = list(dict.fromkeys(policies or DEFAULT_POLICIES))
    for name in chosen:
        if name not in POLICY_NAMES:
            raise UsageError(f"--policy {quoted(name)} is not known; choose of {', '.join(POLICY_NAMES)}")
    if paged:
        chosen.insert(chosen.index("proposed") + 1 if "proposed" in chosen else 0, PAGED)
    if seed < 0:
        raise UsageError(f"--seed {seed} is out of range; give a whole number of at least 0")
    if not 0 <= warm_up <= MAX_WARM_UP:
        raise UsageError(f"--warm-up {warm_up:g} is out of range; give a share of 0 to {MAX_WARM_UP}")
    return Choices(tuple(chosen), seed, reserve, stop_early, warm_up)


def _show(cluster: Cluster, load: Load, choices: Choices, comparison: Comparison, json_output: bool) -> None:
    if json_output:
        print(json.dumps(as_json(load, choices, comparison), allow_nan=False))
        return

    from rich.console import Console

    from cli.simulation import simulation_view

    # Messages may hold names of the file, which are text, not markup.
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(simulation_view(cluster, load, choices, comparison), crop=False)


def as_json(load: Load, choices: Choices, comparison: Comparison) -> dict[str, Any]:
    """What --json prints; times in seconds, and what does not exist is null."""
    from routing.plan.cluster import total_rate

    plan = comparison.plan
    return {
        "arrival_rate": load.arrival_rate,
        "jobs": len(load.jobs),
        "seed": choices.seed,
        "reserve": plan.reserve if plan else None,
        "chains": len(plan.chains) if plan else None,
        "total_rate": total_rate(plan.chains) if plan else None,
        "response_seconds": json_bounds(plan.bounds) if plan else None,
        "policies": [_outcome_json(outcome) for outcome in comparison.outcomes],
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    summary = outcome.summary
    return {
        "policy": outcome.policy,
        "response": _spread_json(summary.response) if summary else None,
        "wait": _spread_json(summary.wait) if summary else None,
        "service": _spread_json(summary.service) if summary else None,
        "jobs": summary.jobs if summary else 0,
        "load": None if outcome.load is None else finite(outcome.load),
        "overloaded": outcome.overloaded,
        "error": outcome.error,
    }


def _spread_json(spread: Spread) -> dict[str, Any]:
    low, high = max(spread.mean - spread.mean_interval, 0.0), spread.mean + spread.mean_interval
    return {
        "mean": finite(spread.mean),
        "median": finite(spread.median),
        "p95": finite(spread.p95),
        "p99": finite(spread.p99),
        "confidence": [low, high] if math.isfinite(high) else None,
    }
