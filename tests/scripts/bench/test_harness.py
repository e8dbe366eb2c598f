"""What benchmarks share: how they are called, taking turns, and what they write."""

from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import program
from bench.__main__ import BENCHMARKS
from bench.shared.harness import Results, Spread, in_turns


@dataclass(frozen=True)
class Speed:
    case: str
    tokens: float


def test_without_the_name_of_a_benchmark_all_are_listed() -> None:
    told = subprocess.run(program("no_such_benchmark"), capture_output=True, text=True, check=False)

    assert told.returncode == 2
    lines = told.stdout.splitlines()
    assert {"generate", "petals", "overhead"} <= set(BENCHMARKS)
    assert all(any(line.startswith(f"{name} ") for line in lines) for name in BENCHMARKS)


@pytest.mark.slow
def test_a_benchmark_finds_all_it_needs_by_itself_and_tells_its_options(tmp_path: Path) -> None:
    told = subprocess.run([*program("dht"), "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "--nodes" in told.stdout and "--seconds" in told.stdout


def test_cases_take_turns_and_the_first_turn_warms_up() -> None:
    turns = list(in_turns(["plain", "swarm"], runs=2))

    assert turns == [(0, "plain"), (0, "swarm"), (1, "plain"), (1, "swarm"), (2, "plain"), (2, "swarm")]


def test_a_ratio_is_the_median_of_turns() -> None:
    # A machine that is busy in the last turn slows both down.
    assert Spread.of_ratios([2.0, 2.2, 0.5], [1.0, 1.0, 0.25]) == Spread(2.0, 2.0, 2.2)


def test_results_are_written_with_the_setting_that_they_were_found_in(tmp_path: Path) -> None:
    results = Results(tmp_path / "new", threads=1)
    speeds = [Speed("plain", 10.0), Speed("swarm", 20.0)]
    results.write(speeds=speeds)
    results.write_rows("speeds", speeds)
    with results.plot("speeds") as axes:
        axes.bar(["plain", "swarm"], [10.0, 20.0])

    written = json.loads((tmp_path / "new" / "results.json").read_text())
    assert written["environment"]["threads"] == 1 and written["environment"]["cores"]
    assert written["speeds"] == [{"case": "plain", "tokens": 10.0}, {"case": "swarm", "tokens": 20.0}]
    with (tmp_path / "new" / "speeds.csv").open(newline="") as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["plain", "swarm"]
    assert (tmp_path / "new" / "speeds.png").read_bytes().startswith(b"\x89PNG")
