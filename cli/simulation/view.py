"""What a person sees of a simulation: what was simulated, and a row for each policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cli.figures import between, count, load_of
from routing.plan.cluster import total_rate

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cli.cluster import Cluster
    from cli.simulation.comparison import Choices, Comparison, Outcome
    from cli.simulation.load import Load
    from routing.plan.reserve import Plan
    from routing.simulation import Spread

_TITLES = ("mean", "±95%", "median", "P95", "P99", "wait", "service")


def simulation_view(cluster: Cluster, load: Load, choices: Choices, comparison: Comparison) -> RenderableType:
    """Each reason why a policy cannot run, or should not be believed, is one line."""
    parts: list[RenderableType] = [_headline(cluster, load, choices)]
    if comparison.plan is not None:
        parts.append(_plan_lines(comparison.plan, load.arrival_rate))
    parts += [Text(), _table(comparison.outcomes)]
    parts += [_reason(outcome.policy, outcome.error) for outcome in comparison.outcomes if outcome.error is not None]
    parts += [_reason(outcome.policy, _overload(outcome)) for outcome in comparison.outcomes if outcome.overloaded]
    return Group(*parts)


def _headline(cluster: Cluster, load: Load, choices: Choices) -> Text:
    text = Text()
    text.append(f"{count(len(load.jobs), 'job')} at {load.arrival_rate:.4g}/s", style="bold")
    text.append(f" on {count(len(cluster.servers), 'server')}, seed {choices.seed}")
    left_out = int(choices.warm_up * len(load.jobs))
    if left_out:
        text.append(f"; the first {left_out:,} are not counted")
    return text


def _plan_lines(plan: Plan, arrival_rate: float) -> Text:
    return Text(
        f"proposed: c = {plan.reserve}, {count(len(plan.chains), 'chain')}, "
        f"{load_of(arrival_rate, total_rate(plan.chains))}\n"
        f"bounds on its mean (Poisson arrivals, exponential sizes): {between(plan.bounds)}"
    )


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("seconds", box=None, pad_edge=False)
    for title in _TITLES:
        table.add_column(title, justify="right", no_wrap=True)
    means = [outcome.summary.response.mean for outcome in outcomes if outcome.summary is not None]
    for outcome in outcomes:
        summary = outcome.summary
        if summary is None:
            continue
        fastest = len(means) > 1 and summary.response.mean == min(means)
        table.add_row(
            outcome.policy,
            *_response(summary.response),
            _seconds(summary.wait.mean),
            _seconds(summary.service.mean),
            style="bold green" if fastest else None,
        )
    return table


def _response(spread: Spread) -> list[str]:
    interval = _seconds(spread.mean_interval) if math.isfinite(spread.mean_interval) else "–"
    return [_seconds(spread.mean), interval, *map(_seconds, (spread.median, spread.p95, spread.p99))]


def _reason(policy: str, reason: str) -> Text:
    return Text(f"{policy}: {reason}", style="yellow", no_wrap=True, overflow="ignore")


def _overload(outcome: Outcome) -> str:
    how = "ever more jobs wait" if outcome.load is None else f"its chains have a load of {outcome.load:.0%}"
    return f"overloaded, {how}: these figures grow with the number of jobs"


def _seconds(seconds: float) -> str:
    """With about three digits, and never in powers of ten where a plain number is as short."""
    if seconds == 0 or 100 <= seconds < 1e7:
        return f"{seconds:,.0f}"
    return f"{seconds:.2f}" if 1 <= seconds < 100 else f"{seconds:.3g}"
