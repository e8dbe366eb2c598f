"""A cluster and jobs go in; how long they take under each policy comes out, or one line that says what is wrong."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import swarm

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "planning.md"
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
SPLIT = """
model: {blocks: 4, block_bytes: 1GB, cache_bytes: 0.1GB}
servers:
  - {name: fast, count: 4, memory_bytes: 3GB, comm_seconds: 0.1, compute_seconds: 0.1}
  - {name: slow, count: 4, memory_bytes: 3GB, comm_seconds: 0.3, compute_seconds: 0.2}
"""
"""No server holds the whole model."""
ONE_AT_A_TIME = """
model: {blocks: 1, block_bytes: 1, cache_bytes: 1}
servers: [{name: only, memory_bytes: 2, comm_seconds: 0.25, compute_seconds: 0.75}]
"""
DEVICE = """
model: {blocks: 2, block_bytes: 1GB, cache_bytes: 0.1GB, flops_per_token: 1e9}
servers: [{name: only, memory_bytes: 3GB, comm_seconds: 0.5, tflops: 10, bandwidth: 100GB/s}]
"""
"""In each block 1 ms, 0.1 ms a token of the prompt, 10 ms a token after the first."""


@pytest.fixture
def split(tmp_path: Path) -> Path:
    return written(tmp_path / "split.yaml", SPLIT)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def trace(path: Path, *jobs: tuple[int, int], every: int = 1) -> Path:
    """Jobs of (input, output) tokens, so many seconds apart."""
    moments = (f"2023-11-16 {s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}" for s in range(0, every * len(jobs), every))
    lines = (f"{moment},{given},{made}" for moment, (given, made) in zip(moments, jobs, strict=True))
    return written(path, "\n".join([HEADER, *lines, ""]))


def simulated(capfd: pytest.CaptureFixture[str], file: Path, *options: object) -> dict[str, Any]:
    outcome = swarm(capfd, "simulate", file, "--json", *options)
    assert (outcome.code, outcome.error) == (0, "")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads(outcome.out, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def only(found: dict[str, Any]) -> dict[str, Any]:
    [outcome] = found["policies"]
    assert isinstance(outcome, dict)
    return outcome


# --- Figures ---------------------------------------------------------------------------------------------------------


def test_one_server_with_room_for_one_job_is_the_textbook_queue(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = written(tmp_path / "one.yaml", ONE_AT_A_TIME)
    found = simulated(capfd, file, "--arrival-rate", 0.6, "--jobs", 60_000, "--policy", "proposed")
    outcome = only(found)
    for times, expected in (("response", 2.5), ("wait", 1.5), ("service", 1.0)):
        low, high = outcome[times]["confidence"]
        assert low < expected < high < 1.15 * expected, times
    assert outcome["response"]["p95"] == pytest.approx(-2.5 * math.log(0.05), rel=0.1)
    assert found["response_seconds"] == pytest.approx({"lower": 2.5, "upper": 2.5})


def test_the_proposed_policy_lies_between_its_bounds_and_no_rule_on_its_chains_is_faster(
    capfd: pytest.CaptureFixture[str], split: Path
) -> None:
    rules = ("jsq", "jiq", "sed", "sa-jsq", "random", "jffc")
    asked = [part for name in ("proposed", *rules) for part in ("--policy", name)]
    found = simulated(capfd, split, "--arrival-rate", 10, "--jobs", 20_000, *asked)
    proposed, *others = found["policies"]
    low, high = proposed["response"]["confidence"]
    assert found["response_seconds"]["lower"] < high and low < found["response_seconds"]["upper"]
    assert [other["policy"] for other in others] == list(rules)
    assert all(other["response"]["mean"] > 0.99 * low for other in others)
    assert others[-1]["response"] == proposed["response"]
    assert others[-2]["response"]["mean"] > high


def test_json_has_all_figures_of_every_policy(capfd: pytest.CaptureFixture[str], split: Path) -> None:
    found = simulated(capfd, split, "--arrival-rate", 2, "--jobs", 1_000, "--seed", 7, "--warm-up", 0.2, "--reserve", 3)
    assert {key: found[key] for key in ("arrival_rate", "jobs", "seed", "reserve")} == {
        "arrival_rate": 2, "jobs": 1_000, "seed": 7, "reserve": 3,
    }  # fmt: skip
    assert [outcome["policy"] for outcome in found["policies"]] == ["proposed", "petals", "bprr", "jffc-only"]
    for outcome in found["policies"][:3]:
        assert outcome["jobs"] == 800 and outcome["error"] is None
        for times in ("response", "wait", "service"):
            figures = outcome[times]
            assert set(figures) == {"mean", "median", "p95", "p99", "confidence"}
            assert figures["median"] <= figures["p95"] <= figures["p99"]
            low, high = figures["confidence"]
            assert low <= figures["mean"] <= high
        assert outcome["response"]["mean"] == pytest.approx(outcome["wait"]["mean"] + outcome["service"]["mean"])


def test_too_few_jobs_for_an_interval_have_none(capfd: pytest.CaptureFixture[str], split: Path) -> None:
    outcome = only(simulated(capfd, split, "--arrival-rate", 2, "--jobs", 10, "--policy", "proposed"))
    assert outcome["response"]["confidence"] is None
    assert swarm(capfd, "simulate", split, "--arrival-rate", 2, "--jobs", 1, "--policy", "proposed").code == 0


def test_the_seed_alone_decides(capfd: pytest.CaptureFixture[str], split: Path) -> None:
    options = ("--arrival-rate", 8, "--jobs", 2_000)
    together = simulated(capfd, split, *options, "--seed", 3)
    assert simulated(capfd, split, *options, "--seed", 3) == together
    assert simulated(capfd, split, *options, "--seed", 4)["policies"] != together["policies"]
    alone = simulated(capfd, split, *options, "--seed", 3, "--policy", "petals")
    assert only(alone) == together["policies"][1]


def test_short_jobs_wait_less_with_a_paged_cache(
    capfd: pytest.CaptureFixture[str], split: Path, tmp_path: Path
) -> None:
    short = trace(tmp_path / "short.csv", *[(100, 20)] * 3_000)
    load = ("--trace", short, "--poisson", "--exponential", "--arrival-rate", 20)
    options = (*load, "--reserve", 1, "--policy", "proposed", "--paged")
    static, paged = simulated(capfd, split, *options)["policies"]
    assert (static["policy"], paged["policy"]) == ("proposed", "proposed-paged")
    assert static["wait"]["mean"] > 0.05
    assert paged["response"]["confidence"][1] < static["response"]["confidence"][0]


# --- Traces ----------------------------------------------------------------------------------------------------------


def test_a_device_takes_the_time_of_each_jobs_own_lengths(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = written(tmp_path / "device.yaml", DEVICE)
    apart = trace(tmp_path / "apart.csv", (1_000, 11), (4_000, 31), every=60)
    service = only(simulated(capfd, file, "--trace", apart, "--warm-up", 0, "--policy", "proposed"))["service"]
    short = 0.5 * 11 / 21 + 2 * (0.001 + 0.1 + 0.1)
    long = 0.5 * 31 / 21 + 2 * (0.001 + 0.4 + 0.3)
    assert service["mean"] == pytest.approx((short + long) / 2)
    assert service["p99"] == pytest.approx(short + 0.99 * (long - short))


def test_without_a_device_the_mean_job_takes_the_seconds_of_the_file(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = written(tmp_path / "one.yaml", ONE_AT_A_TIME)
    apart = trace(tmp_path / "apart.csv", (90, 11), (270, 31), every=60)
    service = only(simulated(capfd, file, "--trace", apart, "--warm-up", 0, "--policy", "proposed"))["service"]
    short, long = 0.25 * 11 / 21 + 0.75 * 0.5, 0.25 * 31 / 21 + 0.75 * 1.5
    assert service["mean"] == pytest.approx(1.0)
    assert service["p99"] == pytest.approx(short + 0.99 * (long - short))


def test_a_trace_keeps_its_arrivals_unless_told_otherwise(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = written(tmp_path / "one.yaml", ONE_AT_A_TIME)
    regular = trace(tmp_path / "regular.csv", *[(100, 10)] * 400, every=2)

    def mean_wait(*options: object) -> float:
        found = simulated(capfd, file, "--trace", regular, "--policy", "proposed", *options)
        assert found["arrival_rate"] == pytest.approx(0.8 if "--arrival-rate" in options else 0.5)
        mean = only(found)["wait"]["mean"]
        assert isinstance(mean, float)
        return mean

    assert mean_wait() == 0
    assert mean_wait("--arrival-rate", 0.8) == 0
    assert mean_wait("--poisson") > 0.1
    assert mean_wait("--exponential") > 0.1
    assert mean_wait("--poisson", "--exponential", "--arrival-rate", 0.8) > mean_wait(
        "--poisson", "--arrival-rate", 0.8
    )


def test_jobs_limits_a_trace(capfd: pytest.CaptureFixture[str], split: Path, tmp_path: Path) -> None:
    long = trace(tmp_path / "long.csv", *[(100, 10)] * 50)
    options = ("--trace", long, "--policy", "proposed")
    assert simulated(capfd, split, *options)["jobs"] == 50
    assert simulated(capfd, split, *options, "--jobs", 20)["jobs"] == 20
    assert simulated(capfd, split, *options, "--jobs", 60)["jobs"] == 50


# --- What people see -------------------------------------------------------------------------------------------------


def test_a_policy_that_cannot_run_says_why_beside_those_that_can(
    capfd: pytest.CaptureFixture[str], split: Path
) -> None:
    outcome = swarm(capfd, "simulate", split, "--arrival-rate", 2, "--jobs", 500)
    assert (outcome.code, outcome.error) == (0, "")
    first = [line.split()[0] for line in outcome.out.splitlines() if line]
    assert first[-5:] == ["seconds", "proposed", "petals", "bprr", "jffc-only:"]
    assert "no server holds the whole model" in outcome.out.splitlines()[-1]
    infeasible = simulated(capfd, split, "--arrival-rate", 2, "--jobs", 500)["policies"][-1]
    assert infeasible["response"] is None and "no server holds" in infeasible["error"]


def test_a_policy_that_cannot_run_alone_is_an_error(capfd: pytest.CaptureFixture[str], split: Path) -> None:
    outcome = swarm(capfd, "simulate", split, "--arrival-rate", 2, "--policy", "jffc-only", "--json")
    assert (outcome.code, outcome.out) == (1, "")
    assert "no server holds the whole model" in outcome.complaint
    outcome = swarm(capfd, "simulate", split, "--arrival-rate", 900, "--policy", "proposed", "--policy", "jsq")
    assert outcome.code == 1 and outcome.complaint.count("jobs arrive at 900/s") == 1
    outcome = swarm(capfd, "simulate", split, "--arrival-rate", 900, "--policy", "proposed", "--policy", "jffc-only")
    assert outcome.code == 1
    assert "proposed: jobs arrive" in outcome.complaint and "jffc-only: no server" in outcome.complaint


def test_policies_that_cannot_keep_up_are_told(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = written(tmp_path / "roomy.yaml", ONE_AT_A_TIME.replace("memory_bytes: 2", "memory_bytes: 3"))
    asked = ("--policy", "jffc-only", "--policy", "petals", "--policy", "bprr")
    outcome = swarm(capfd, "simulate", file, "--arrival-rate", 3, *asked)
    assert outcome.code == 0
    assert "jffc-only: overloaded, its chains have a load of 150%" in outcome.out
    assert "petals: overloaded, ever more jobs wait" in outcome.out
    assert "bprr: overloaded, ever more jobs wait" in outcome.out
    outcome = swarm(capfd, "simulate", file, "--arrival-rate", 1.7, *asked)
    assert outcome.code == 0 and "overloaded" not in outcome.out


def test_the_guides_example_shows_what_the_command_prints(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    shown = [block for block in GUIDE.read_text().split("```") if block.startswith("\n$ swarm simulate ")]
    assert shown
    for block in shown:
        command, *expected = block.strip().splitlines()
        outcome = swarm(capfd, *command.split()[2:])
        assert (outcome.code, outcome.error) == (0, "")
        assert [line.split()[:1] for line in outcome.out.splitlines()] == [line.split()[:1] for line in expected]


def test_simulating_raw_sizes_loads_no_model_code() -> None:
    program = (
        "import sys; from cli.main import app\n"
        "try: app(['simulate', 'docs/cluster.yaml', '--arrival-rate', '0.2', '--jobs', '50'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print('loaded', *sorted({'torch', 'transformers', 'hivemind'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "loaded"


# --- Mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "--arrival-rate"),
        (("--arrival-rate", "nan"), "--arrival-rate nan"),
        (("--arrival-rate", "0"), "--arrival-rate 0"),
        (("--arrival-rate", "1e300"), "--arrival-rate 1e+300"),
        (("--arrival-rate", "1", "--jobs", "0"), "--jobs 0"),
        (("--arrival-rate", "1", "--jobs", "99999999"), "--jobs 99,999,999"),
        (("--arrival-rate", "1", "--policy", "proposed", "--policy", "best"), "'best' is not known"),
        (("--arrival-rate", "1", "--reserve", "0"), "--reserve 0"),
        (("--arrival-rate", "1", "--reserve", "500"), "give 1 to 20"),
        (("--arrival-rate", "1", "--seed", "-1"), "--seed -1"),
        (("--arrival-rate", "1", "--warm-up", "1"), "--warm-up 1"),
        (("--arrival-rate", "1", "--warm-up", "nan"), "--warm-up nan"),
        (("--arrival-rate", "1", "--poisson"), "give --trace"),
        (("--arrival-rate", "1", "--exponential"), "give --trace"),
    ],
)
def test_an_option_out_of_range(
    capfd: pytest.CaptureFixture[str], split: Path, options: tuple[str, ...], named: str
) -> None:
    outcome = swarm(capfd, "simulate", split, *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert named in outcome.complaint


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "no jobs"),
        (b"arrival,tokens\n1,2\n", f"begin with {HEADER}"),
        (b"\xff\xfe\x00\x01", "not text"),
        (b"\0" * 10_000, "line 1"),
        (f"{HEADER}\n2023-11-16 18:17:03,10,1\nsoon,10,1\n".encode(), "line 3 of the trace: 'soon'"),
        (f"{HEADER}\n2023-11-16 18:17:03,10,-1\n".encode(), "line 2 of the trace: '-1'"),
        (f"{HEADER}\n2023-11-16 18:17:03,10,1\n".encode(), "all arrive at once"),
    ],
)
def test_a_file_that_is_no_trace(
    capfd: pytest.CaptureFixture[str], split: Path, tmp_path: Path, content: bytes, named: str
) -> None:
    file = tmp_path / "trace.csv"
    file.write_bytes(content)
    outcome = swarm(capfd, "simulate", split, "--trace", file)
    assert (outcome.code, outcome.out) == (2, "")
    assert str(file) in outcome.complaint and named in outcome.complaint


def test_a_trace_that_is_not_there_or_has_no_end(
    capfd: pytest.CaptureFixture[str], split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, named in ((tmp_path / "none.csv", "No such file"), (tmp_path, "directory")):
        outcome = swarm(capfd, "simulate", split, "--trace", path)
        assert outcome.code == 2 and named in outcome.complaint
    monkeypatch.setattr("cli.simulation.load.MAX_TRACE_BYTES", 1_000_000)
    endless = trace(tmp_path / "endless.csv", *[(100, 10)] * 40_000)
    outcome = swarm(capfd, "simulate", split, "--trace", endless)
    assert outcome.code == 2 and "longer than 1 MB" in outcome.complaint
    assert swarm(capfd, "simulate", split, "--trace", endless, "--jobs", 100).code == 0
