"""What the comparison with Petals makes of its measurements; Petals itself is not needed here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from petals_side.installation import petals_python
from petals_side.measuring import Alone, Figures, rate
from petals_side.report import MIB, Round, compare, plot, table
from process_counters import is_running
from routing.errors import UsageError

OURS = Figures(3.0, 80.0, 250.0, 240.0, 300.0, 60.0, 1, 1, 400 * MIB, 500 * MIB, 1.0, 0.01)
PETALS = Figures(4.5, 50.0, None, 60.0, None, 40.0, 11, 1, 600 * MIB, 620 * MIB, 1.0, 0.01)


def rounds(*ours: Figures, petals: Figures = PETALS) -> list[Round]:
    return [Round(Alone(70.0, 380.0), side, petals) for side in ours]


def test_clients_that_run_at_once_are_timed_from_the_first_start_to_the_last_end() -> None:
    answers = [
        {"started": 10.0, "ended": 12.0, "tokens": [[1, 2, 3]]},
        {"started": 10.5, "ended": 14.0, "tokens": [[4, 5, 6], [7, 8]]},
    ]
    assert rate(answers) == 8 / 4


def test_ratios_are_those_of_the_medians_and_say_what_was_reached() -> None:
    slow, fast = replace(OURS, session=75.0), replace(OURS, session=200.0)
    rows = {row.what: row for row in compare(rounds(OURS, slow, fast))}

    session = rows["one session, one node"]
    assert (session.ours, session.petals, session.ratio, session.reached) == (80.0, 50.0, 1.6, True)
    assert rows["one session, chain of two nodes"].reached is False
    assert rows["its memory at rest, weights left out"].reached is True
    late = {row.what: row for row in compare(rounds(replace(OURS, online=4.1)))}
    assert late["its start until it is online"].reached is False


def test_each_side_counts_by_the_way_of_running_eight_clients_that_is_faster_for_it() -> None:
    rows = {row.what.strip(" …"): row for row in compare(rounds(OURS))}

    assert rows["8 clients at once, one node"].ratio == 300.0 / 60.0
    assert rows["as processes"].ratio == 240.0 / 60.0
    assert rows["through a gateway"].ratio is None


def test_what_never_came_to_an_end_is_shown_as_unknown(tmp_path: Path) -> None:
    rows = compare(rounds(OURS))
    console = Console(width=120, record=True, file=(tmp_path / "out").open("w"))
    console.print(table(rows))
    plot(rounds(OURS), tmp_path / "plot.png")

    line = next(line for line in console.export_text().splitlines() if "as threads" in line)
    assert line.split()[-3:] == ["250", "–", "–"]
    assert (tmp_path / "plot.png").stat().st_size > 0


def test_a_folder_that_is_no_environment_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(UsageError, match="no Python environment"):
        petals_python(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


CHILD = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""
BENCHMARK = """
import os, sys, trio
from pathlib import Path
from petals_side.children import open_children

async def main():
    with open_children(Path(sys.argv[1])) as children:
        async with children.open("a node", [sys.executable, "-c", sys.argv[2]], os.environ, asked=False) as child:
            print(child.process_id, await child.line(10), flush=True)
            await trio.sleep_forever()

trio.run(main)
"""


def test_what_a_killed_benchmark_has_started_ends_with_it(tmp_path: Path) -> None:
    benchmark = subprocess.Popen(
        [sys.executable, "-c", BENCHMARK, str(tmp_path), CHILD],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert benchmark.stdout is not None
        started = [int(word) for word in benchmark.stdout.readline().split()]
        assert len(started) == 2 and all(map(is_running, started))
    finally:
        benchmark.send_signal(signal.SIGKILL)
        benchmark.communicate()

    until = time.monotonic() + 10
    while any(map(is_running, started)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(is_running, started))
