"""The paper's evaluation runs with one command, and says of every claim whether it came out."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "reproduce_paper.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("paper")
    finished = run("--quick", "--out", str(out))
    assert finished.returncode == 0, finished.stderr
    return out


def test_every_figure_comes_as_a_picture_and_as_numbers(written: Path) -> None:
    for figure in ("fig3", "fig4", "fig5", "fig6", "fig7", "fig8", "fig9_10", "table", "table_sweeps"):
        assert (written / f"{figure}.png").read_bytes().startswith(b"\x89PNG"), figure
    for table in ("fig3", "fig4", "fig5", "fig6", "fig7", "fig8", "fig9_10", "table", "table_sweeps"):
        with (written / f"{table}.csv").open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        assert rows, table
        assert {row["rtts"] for row in rows} == {"synthetic"}, table


def test_the_summary_answers_every_claim_and_says_what_is_synthetic(written: Path) -> None:
    summary = json.loads((written / "summary.json").read_text(encoding="utf-8"))
    assert summary["inputs"] == {"rtts": "synthetic", "trace": "synthetic"}
    claims = [claim for figure in summary["figures"] for claim in figure["claims"]]
    text = (written / "summary.md").read_text(encoding="utf-8")
    assert "synthetic, not measured" in text
    for words in (
        "GBP-CR is as good as the best",
        "GCA needs hardly more",
        "JFFC has the least mean response",
        "between the bounds",
        "within one step of the simulated best c",
        "below the better of PETALS and BPRR",
        "larger where memory is scarce",
        "PETALS > BPRR > JFFC only > proposed",
        "at least 60% below PETALS",
        "at least 50% below BPRR",
    ):
        found = [claim for claim in claims if words in claim["text"]]
        assert found, words
        assert all(claim["found"] and isinstance(claim["met"], bool) for claim in found)
        assert words in text
    assert all(figure["note"] for figure in summary["figures"])


def test_the_fewest_job_servers_are_never_more_than_gca_needs(written: Path) -> None:
    with (written / "fig4.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        assert float(row["lower_bound"]) <= float(row["optimum"]) + 1e-9
        assert float(row["optimum"]) <= float(row["gca"]) + 1e-9


def test_one_figure_with_the_same_seed_comes_out_the_same(written: Path, tmp_path: Path) -> None:
    finished = run("--quick", "--only", "fig3", "--out", str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    assert not (tmp_path / "fig4.csv").exists()
    assert (tmp_path / "fig3.csv").read_text() == (written / "fig3.csv").read_text()


def test_a_file_that_holds_no_round_trip_times_is_refused_in_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    finished = run("--rtt", str(wrong), "--out", str(tmp_path))
    assert finished.returncode != 0
    assert "latency_m1" in finished.stderr
    assert "Traceback" not in finished.stderr
