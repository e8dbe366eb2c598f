"""What a swarm does when servers vanish, come and go, and when more jobs come.

    python scripts/bench churn [--swarms 200] [--days 3] [--rates 20] [--apart 0] [--out build/bench_churn]

*vanish*: random swarms as in bench convergence are where a central planner would place them, and 30% of the servers
crash at once; other 30% are drawn until blocks go missing that the memory of those left suffices for. Measured: the
time until all blocks are served again, less the loading time, as nodes announce themselves now and twice as often.
*day*: about 40 servers are there at a time for a day; each stays for a heavy-tailed time (lognormal, median 2 h, mean
5 h: an assumption, not a trace), half leave in an orderly way, half crash. The memory is for 1.5, 3 and 6 times the
blocks in turn. Measured: how long all blocks were served, how many moves that took, and the lower bound on mean
response time beside that of a central plan for whoever is there at each moment.
*rate*: jobs come twice as often from one moment to the next, and servers take turns until none moves.

Everybody knows the others by records that are up to 6 s old; one announcement in twenty is lost (see scripts/churn).
Who crashed does not answer, and whoever asks waits for as long as a node would; who is there answers at once. A server
reaches one more of the others at each look, and says nothing of those that it never reached (--apart: a share of the
pairs).
Written: vanish.csv, day.csv, rate.csv, churn.png.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any, TypeVar

import numpy as np
import typer

from bench.shared.harness import Out, Results, Workers, console, in_processes
from churn.day import Day, day
from churn.member import Pace
from churn.rate import Doubled, double
from churn.vanish import Vanished, vanish
from swarm_node.node.settings import LOOK_SECONDS, OVERDUE_SECONDS
from swarm_node.settings import ANNOUNCE_SECONDS, RECORD_SECONDS

PACES = (
    Pace(),
    Pace(announce=ANNOUNCE_SECONDS / 2, record=RECORD_SECONDS / 2, look=LOOK_SECONDS / 2, overdue=OVERDUE_SECONDS / 2),
)
"""As nodes have it, and twice as often."""
MEMORY_FACTORS = (1.5, 3.0, 6.0)
GOAL_SECONDS = 3 * ANNOUNCE_SECONDS
Result = TypeVar("Result", Vanished, Doubled)


def main(
    swarms: Annotated[int, typer.Option(min=0, help="Random swarms of which a third vanishes.")] = 200,
    days: Annotated[int, typer.Option(min=0, help="Simulated days.")] = 3,
    hours: Annotated[float, typer.Option(min=0.1, help="Length of a day.")] = 24.0,
    rates: Annotated[int, typer.Option(min=0, help="Random swarms whose rate doubles.")] = 20,
    apart: Annotated[float, typer.Option(min=0, max=1, help="Share of the pairs that never reach each other.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the first one of each.")] = 0,
    workers: Workers = 1,
    out: Out = Path("build/bench_churn"),
) -> None:
    """Measure, print and write the results."""
    written = Results(out)
    factors = [MEMORY_FACTORS[number % len(MEMORY_FACTORS)] for number in range(days)]
    seeds = [range(seed, seed + count) for count in (swarms, rates, days)]
    vanished = [
        _found(
            in_processes(
                workers,
                f"vanish, announced every {pace.announce:g} s",
                partial(vanish, pace=pace, apart=apart),
                seeds[0],
            )
        )
        for pace in PACES
    ]
    doubled = _found(in_processes(workers, "rate", double, seeds[1]))
    spent = in_processes(workers, "day", partial(day, hours=hours, apart=apart), seeds[2], factors)
    written.write_rows("vanish", list(chain(*vanished)))
    written.write_rows("day", spent)
    written.write_rows("rate", doubled)
    for some in vanished:
        _tell_vanished(some, swarms)
    for one in spent:
        _tell_day(one)
    _tell_doubled(doubled)
    with written.plot("churn", (14, 4), columns=3) as panels:
        _plot(vanished, spent, doubled, panels)


def _found(results: Sequence[Result | None]) -> list[Result]:
    return [one for one in results if one is not None]


def _tell_vanished(results: list[Vanished], swarms: int) -> None:
    if not results:
        return
    one = results[0]
    console.print(
        f"vanish, announced every {one.announce_seconds:g} s, records of {one.record_seconds:g} s, looks every "
        f"{one.look_seconds:g} s: blocks could go missing in {len(results)} of {swarms} swarms\n"
        f"  moves per server left: mean {mean(one.moves for one in results):.2f}; fresh starts: "
        f"{sum(one.afresh for one in results)}; blocks uncovered: {sum(one.uncovered for one in results)}"
    )
    since_crash = [one.covered for one in results]
    since_fading = [one.covered - one.faded for one in results]
    for label, times in (("the crash", since_crash), ("the end of the last record", since_fading)):
        within = sum(time <= GOAL_SECONDS for time in times)
        p50, p95 = np.percentile(times, [50, 95], method="higher")
        console.print(
            f"  served again, less loading, after {label}: median {p50:.1f} s, P95 {p95:.1f} s, worst {max(times):.1f} "
            f"s; within {GOAL_SECONDS:g} s in {within} of {len(times)}"
        )


def _tell_day(one: Day) -> None:
    per_hour = 1 / one.node_hours if one.node_hours else 0.0
    console.print(
        f"day with memory for {one.factor:g} times the blocks: all served {one.covered:.2%} of the time, memory "
        f"sufficed {one.suffices:.2%}; {one.outages} outages; overloaded though the plan was not {one.overloaded:.2%}\n"
        f"  {one.joins} joined; moves per node and hour: for speed {one.speed_moves * per_hour:.3f}, to rescue "
        f"{one.rescue_moves * per_hour:.3f}, in fresh starts {one.fresh_starts * per_hour:.3f}; rescue moves without "
        f"need {one.needless}; moves refused {one.refused}; blocks uncovered {one.uncovered}\n"
        f"  response time mean {one.seconds:.2f} s, central {one.central:.2f} s; ratio median {one.ratio:.3f}, 95% of "
        f"the time below {one.ratio_high:.3f} (over {one.comparable:.1%} of the time, when both serve all jobs)"
    )


def _tell_doubled(results: list[Doubled]) -> None:
    if not results:
        return
    carried = [one for one in results if one.unmoved < float("inf")]
    console.print(
        f"rate doubles in {len(results)} swarms: median c* from {median(one.reserve_before for one in results):g} to "
        f"{median(one.reserve_after for one in results):g}; moves per server: mean "
        f"{mean(one.moves for one in results):.2f}; the last after {mean(one.hours for one in results):.1f} h "
        f"on average\n"
        f"  {len(results) - len(carried)} could not carry the rate until they moved; the others' response time as a "
        f"ratio to the central plan's: {_spread(one.unmoved / one.central for one in carried)} before the moves, "
        f"{_spread(one.moved / one.central for one in carried)} after; after the moves in all: "
        f"{_spread(one.moved / one.central for one in results)}"
    )


def _spread(ratios: Iterable[float]) -> str:
    found = list(ratios)
    if not found:
        return "-"
    return f"median {median(found):.3f}, worst {max(found):.3f}"


def _plot(vanished: list[list[Vanished]], spent: list[Day], doubled: list[Doubled], panels: Any) -> None:
    left, middle, right = panels
    for pace, some in zip(PACES, vanished, strict=True):
        times = sorted(one.covered for one in some)
        left.plot(times, _shares(times), label=f"announced every {pace.announce:g} s")
    left.set(xlabel="s from the crash until all served, less loading", ylabel="share of swarms", xlim=(0, 60))
    left.legend()
    places = np.arange(len(spent))
    middle.bar(places - 0.2, [100 * (1 - one.covered) for one in spent], 0.4, label="blocks missing")
    middle.bar(places + 0.2, [100 * (1 - one.suffices) for one in spent], 0.4, label="memory too small")
    middle.set(ylabel="% of the day", xlabel="memory / blocks")
    middle.set_xticks(places, [f"{one.factor:g}" for one in spent])
    middle.legend()
    for what, label in (("unmoved", "before the moves"), ("moved", "after")):
        ratios = sorted(getattr(one, what) / one.central for one in doubled)
        right.plot(ratios, _shares(ratios), label=label)
    right.set(xlabel="response time / central plan's, rate doubled", ylabel="share of swarms", xlim=(0.9, 2))
    right.legend()


def _shares(values: Sequence[float]) -> Any:
    """Up to which share of the values each of them reaches, if they are sorted."""
    return (np.arange(len(values)) + 1) / max(len(values), 1)
