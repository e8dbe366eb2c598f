"""A cluster file goes in; a plan that people and programs can read comes out, or one line that says what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from cli.block_bar import BlockBar
from cli.cluster import Cluster, read_cluster
from cli.cluster.devices import DEVICES
from cli.sizes import BANDWIDTH, MEMORY, TIME
from routing import Span
from routing.errors import ClusterInvalid
from tests.cli.command import Outcome, swarm
from tests.models import make_config, make_model

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "cluster.yaml"
MODEL = "model: {blocks: 3, block_bytes: 1, cache_bytes: 0.1}"
GOOD = "{name: good, memory_bytes: 5, comm_seconds: 1, compute_seconds: 0.1}"
WORKED = f"""
{MODEL}
servers:
  - {{name: one, memory_bytes: 2, comm_seconds: 1, compute_seconds: 0.01}}
  - {{name: two, memory_bytes: 3, comm_seconds: 2, compute_seconds: 0.02}}
  - {{name: three, memory_bytes: 2, comm_seconds: 1, compute_seconds: 0.03}}
  - {{name: four, memory_bytes: 2, comm_seconds: 1, compute_seconds: 0.04}}
  - {{name: five, memory_bytes: 2, comm_seconds: 1, compute_seconds: 0.05}}
"""
"""arXiv 2604.14993, section 3, with ε = 0.01."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cluster.yaml"


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def read(file: Path, text: str) -> Cluster:
    return read_cluster(written(file, text))


def planned(capfd: pytest.CaptureFixture[str], file: Path, rate: float, *options: object) -> dict[str, Any]:
    outcome = swarm(capfd, "plan", file, "--arrival-rate", rate, "--json", *options)
    assert (outcome.code, outcome.error) == (0, "")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    answer = json.loads(outcome.out, parse_constant=refuse)
    assert isinstance(answer, dict)
    return answer


def complaint(capfd: pytest.CaptureFixture[str], file: Path, *options: object) -> tuple[int, str]:
    outcome: Outcome = swarm(capfd, "plan", file, "--arrival-rate", 0.2, *options)
    assert outcome.out == ""
    return outcome.code, outcome.complaint


# --- What programs get -----------------------------------------------------------------------------------------------


def test_the_worked_example_gives_the_three_chains_of_the_paper(capfd: pytest.CaptureFixture[str], file: Path) -> None:
    answer = planned(capfd, written(file, WORKED), 0.2, "--reserve", 1)
    assert answer["placement"] == [
        {"server": "one", "start": 0, "end": 1},
        {"server": "two", "start": 1, "end": 3},
        {"server": "three", "start": 0, "end": 1},
        {"server": "four", "start": 1, "end": 2},
        {"server": "five", "start": 2, "end": 3},
    ]
    assert [chain["capacity"] for chain in answer["chains"]] == [5, 5, 5]
    assert [chain["service_seconds"] for chain in answer["chains"]] == pytest.approx([3.05, 3.10, 3.12], rel=1e-12)
    assert [[tuple(hop.values()) for hop in chain["hops"]] for chain in answer["chains"]] == [
        [("one", 0, 1), ("two", 1, 3)],
        [("one", 0, 1), ("four", 1, 2), ("five", 2, 3)],
        [("three", 0, 1), ("four", 1, 2), ("five", 2, 3)],
    ]
    assert answer["total_rate"] == pytest.approx(5 / 3.05 + 5 / 3.10 + 5 / 3.12, rel=1e-12)


def test_the_answer_has_exactly_the_promised_keys(capfd: pytest.CaptureFixture[str], file: Path) -> None:
    answer = planned(capfd, written(file, WORKED), 0.2)
    assert list(answer) == ["reserve", "placement", "chains", "total_rate", "response_seconds", "candidates"]
    assert all(set(each) == {"server", "start", "end"} for each in answer["placement"])
    assert all(set(chain) == {"hops", "service_seconds", "capacity"} for chain in answer["chains"])
    assert all(set(hop) == {"server", "start", "end"} for chain in answer["chains"] for hop in chain["hops"])
    assert set(answer["response_seconds"]) == {"lower", "upper"}
    assert all(set(each) == {"reserve", "lower", "upper", "surrogate", "chains"} for each in answer["candidates"])


def test_the_chosen_reserve_has_the_least_lower_bound(capfd: pytest.CaptureFixture[str], file: Path) -> None:
    answer = planned(capfd, written(file, WORKED), 1.0)
    candidates = answer["candidates"]
    assert [each["reserve"] for each in candidates] == list(range(1, 21))
    least = min(each["lower"] for each in candidates if each["lower"] is not None)
    chosen = next(each for each in candidates if each["reserve"] == answer["reserve"])
    assert chosen["lower"] == least == answer["response_seconds"]["lower"]


def test_what_does_not_exist_is_null(capfd: pytest.CaptureFixture[str], file: Path) -> None:
    last = planned(capfd, written(file, WORKED), 1.0)["candidates"][-1]
    assert last == {"reserve": 20, "lower": None, "upper": None, "surrogate": None, "chains": 0}


def test_a_reserve_that_is_given_is_the_only_candidate(capfd: pytest.CaptureFixture[str], file: Path) -> None:
    answer = planned(capfd, written(file, WORKED), 0.2, "--reserve", 6)
    assert answer["reserve"] == 6
    assert [each["reserve"] for each in answer["candidates"]] == [6]


@pytest.mark.parametrize("reserve", [0, -1, 21, 10**30])
def test_a_reserve_that_no_server_has_room_for(capfd: pytest.CaptureFixture[str], file: Path, reserve: int) -> None:
    code, line = complaint(capfd, written(file, WORKED), "--reserve", reserve)
    assert code == 2
    assert f"--reserve {reserve} " in line


def test_stopping_early_leaves_servers_out(capfd: pytest.CaptureFixture[str]) -> None:
    everything = planned(capfd, EXAMPLE, 0.2, "--reserve", 8)
    early = planned(capfd, EXAMPLE, 0.2, "--reserve", 8, "--stop-early")
    assert len(everything["placement"]) == 20
    assert [each["server"] for each in early["placement"]] == ["fast-1", "fast-2", "fast-3", "fast-4"]


# --- What people see -------------------------------------------------------------------------------------------------


def test_people_see_a_map_of_the_blocks(
    capfd: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = swarm(capfd, "plan", written(file, WORKED), "--arrival-rate", 0.2).out.splitlines()
    assert any(line.split() == ["one", "0:1", "████········"] for line in lines)
    assert any(line.split() == ["two", "1:3", "····████████"] for line in lines)
    assert any(line.split() == ["hosts", "222222222222"] for line in lines)
    assert any("one → four → five" in line for line in lines)


def test_servers_left_out_are_named_with_the_reason(capfd: pytest.CaptureFixture[str], file: Path) -> None:
    small = "  - {name: tiny, memory_bytes: 1.05, comm_seconds: 1, compute_seconds: 1}\n"
    out = swarm(capfd, "plan", written(file, WORKED + small), "--arrival-rate", 0.2).out
    assert "too little memory for a block and 1 job: tiny" in out
    early = swarm(capfd, "plan", EXAMPLE, "--arrival-rate", 0.2, "--stop-early").out
    assert "not needed: slow-1, slow-2, slow-3, slow-4, slow-5, slow-6 and 10 more" in early


def test_names_are_shown_as_they_are(capfd: pytest.CaptureFixture[str], file: Path) -> None:
    out = swarm(
        capfd, "plan", written(file, WORKED.replace("name: one", "name: '[red]:smile:'")), "--arrival-rate", 0.2
    ).out
    assert "[red]:smile:" in out


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_map_fits_the_terminal_and_the_screen(
    capfd: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = "model: {blocks: 90, block_bytes: 1, cache_bytes: 0.1}\nservers:\n" + "".join(
        f"  - {{name: kind{kind}, count: 30, memory_bytes: {kind + 3}, comm_seconds: 1, compute_seconds: 1}}\n"
        for kind in range(10)
    )
    out = swarm(capfd, "plan", written(file, text), "--arrival-rate", 0.001, "--reserve", 1).out
    assert all(len(line) <= columns for line in out.splitlines())
    assert len([line for line in out.splitlines() if "█" in line]) == 40
    assert re.search(r"… [0-9]+ more", out)


def test_a_bar_shows_every_span_however_many_blocks_there_are() -> None:
    for blocks in (1, 3, 40, 70, 1000):
        for columns in (5, 40, 120):
            bar = BlockBar(blocks, columns)
            width = len(bar.span(Span(0, blocks)))
            assert bar.span(Span(0, blocks)) == "█" * width and width <= max(columns, 10)
            for start in range(0, blocks, 1 + blocks // 7):
                row = bar.span(Span(start, start + 1))
                assert "█" in row and len(row) == width
            assert len(bar.replicas([Span(0, 1)])) == width
            assert len(bar.ruler()) <= width and bar.ruler().startswith("0")


def test_a_block_that_fewer_servers_host_shows_in_the_last_row() -> None:
    assert BlockBar(4, 4).replicas([Span(0, 3), Span(2, 4), None]) == "11112211"
    assert BlockBar(20, 10).replicas([Span(0, 20), Span(0, 19)]) == "2222222221"


def test_the_example_of_the_docs_answers_as_the_docs_say(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    text = (ROOT / "docs" / "planning.md").read_text()
    shown = text.split("$ swarm plan docs/cluster.yaml --arrival-rate 2\n")[1].split("```")[0]
    out = swarm(capfd, "plan", EXAMPLE, "--arrival-rate", 2).out
    assert [line.rstrip() for line in out.splitlines()] == shown.splitlines()


def test_the_cluster_file_of_the_docs_can_be_read(file: Path) -> None:
    text = (ROOT / "docs" / "planning.md").read_text()
    cluster = read(file, text.split("```yaml\n")[1].split("```")[0])
    assert [server.name for server in cluster.servers] == ["ours", "lab-1", "lab-2", "lab-3", "custom"]
    assert all(name in text for name in DEVICES)


# --- What the file may say -------------------------------------------------------------------------------------------


def test_numbers_stay_as_they_were_written(file: Path) -> None:
    model = read(file, WORKED).model
    assert (model.blocks, model.block_bytes, model.cache_bytes) == (3, 1.0, 0.1)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("40GB", 40e9), ("1.5GiB", 1.5 * 2**30), ("0.11GB", 110e6), ("1e9", 1e9), ("1.0e+9", 1e9), ("0.1", 0.1),
        ("40_000", 40000.0), ("2 kib", 2048.0), ("512B", 512.0), ("3t", 3e12),
    ],
)  # fmt: skip
def test_memory_may_have_a_unit(text: str, amount: float) -> None:
    assert MEMORY.read(text) == amount


def test_times_and_bandwidths_may_have_a_unit() -> None:
    assert [TIME.read(text) for text in ("18ms", "0.018", "250us", "1.5s", "2 min")] == [0.018, 0.018, 25e-5, 1.5, 120]
    assert BANDWIDTH.read("1.02TB/s") == BANDWIDTH.read("1.02TB") == 1.02e12


@pytest.mark.parametrize("text", ["", "GB", ".nan", ".inf", "1e999", "1.2.3", "5 gallons", "true", "1:30", "0x10"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    for measure in (MEMORY, TIME, BANDWIDTH):
        with pytest.raises(ValueError, match="write for example"):
            measure.read(text)


def test_a_device_gives_the_times_of_the_paper() -> None:
    servers = read_cluster(EXAMPLE).servers
    assert [server.name for server in servers[:5]] == ["fast-1", "fast-2", "fast-3", "fast-4", "slow-1"]
    assert (servers[0].memory_bytes, servers[4].memory_bytes) == (40e9, 20e9)
    assert servers[0].compute_seconds == pytest.approx(0.109, abs=5e-4)
    assert servers[4].compute_seconds == pytest.approx(0.175, abs=5e-4)
    assert servers[0].comm_seconds == 0.031


def test_devices_may_be_built_in_or_stand_at_the_server(file: Path) -> None:
    cluster = read(
        file,
        """
        model: {blocks: 2, block_bytes: 1GB, cache_bytes: 0.1GB}
        job: {input_tokens: 100, output_tokens: 11}
        servers:
          - {name: known, device: rtx4090, comm_seconds: 0}
          - {name: less, device: RTX 4090, memory_bytes: 10GB, comm_seconds: 0}
          - {name: inline, tflops: 165, bandwidth: 1008GB/s, memory_bytes: 24GB, comm_seconds: 0}
        """,
    )
    known, less, inline = cluster.servers
    # Two operations per parameter of two bytes: as many per token as the block has bytes.
    assert known.compute_seconds == pytest.approx(0.001 + 100 * 1e9 / 165e12 + 10 * 1e9 / 1008e9)
    assert known.compute_seconds == less.compute_seconds == inline.compute_seconds
    assert (known.memory_bytes, less.memory_bytes, inline.memory_bytes) == (24e9, 10e9, 24e9)


def test_words_that_yaml_takes_for_something_else_are_names(file: Path) -> None:
    text = f"{MODEL}\nservers:\n" + "".join(
        f"  - {{name: {name}, memory_bytes: 5, comm_seconds: 1, compute_seconds: 1}}\n"
        for name in ("no", "1e3", "2001-01-01")
    )
    assert [server.name for server in read(file, text).servers] == ["no", "1e3", "2001-01-01"]


def test_an_empty_value_is_as_good_as_none(file: Path) -> None:
    cluster = read(file, f"{MODEL}\nservers: [{GOOD[:-1]}, device: , tflops: null, count: ~}}]\ndevices:\njob:\n")
    assert [server.name for server in cluster.servers] == ["good"]


def test_a_model_may_be_given_by_its_directory(capfd: pytest.CaptureFixture[str], file: Path, tmp_path: Path) -> None:
    directory = make_model("llama", tmp_path / "llama")
    config = AutoConfig.from_pretrained(directory)
    server = "servers: [{name: a, memory_bytes: 10MB, comm_seconds: 0.1, tflops: 1, bandwidth: 1GB/s}]"
    half = read(file, f"model: {{name_or_path: {directory}, dtype: float16, session_tokens: 100}}\n{server}")
    full = read(file, f"model: {{name_or_path: {directory}}}\n{server}")
    keys_and_values = 2 * config.num_key_value_heads * config.head_dim
    assert full.model.blocks == 4
    assert full.model.block_bytes == 2 * half.model.block_bytes
    assert full.model.cache_bytes == keys_and_values * 4 * config.max_position_embeddings
    assert half.model.cache_bytes == keys_and_values * 2 * 100
    parameters = half.model.block_bytes / 2
    assert half.servers[0].compute_seconds == pytest.approx(
        0.001 + 2000 * 2 * parameters / 1e12 + 19 * 2 * parameters / 1e9
    )
    assert planned(capfd, file, 0.1)["placement"] == [{"server": "a", "start": 0, "end": 4}]


def test_a_config_without_weights_is_enough(file: Path, tmp_path: Path) -> None:
    make_config("qwen3").save_pretrained(tmp_path / "qwen3")
    assert read(file, f"model: {{name_or_path: {tmp_path / 'qwen3'}}}\nservers: [{GOOD[:-1]}}}]").model.blocks == 4


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("{name: b, memory_bytes: 0, comm_seconds: 1, compute_seconds: 1}", "servers[1].memory_bytes: '0' is"),
        ("{name: b, memory_bytes: -5GB, comm_seconds: 1, compute_seconds: 1}", "servers[1].memory_bytes: '-5GB' is"),
        ("{name: b, memory_bytes: .nan, comm_seconds: 1, compute_seconds: 1}", "servers[1].memory_bytes: '.nan' is"),
        ("{name: b, memory_bytes: 5, comm_seconds: .inf, compute_seconds: 1}", "servers[1].comm_seconds: '.inf' is"),
        ("{name: b, memory_bytes: true, comm_seconds: 1, compute_seconds: 1}", "servers[1].memory_bytes: 'true' is"),
        ("{name: b, memory_bytes: 5, comm_seconds: -1, compute_seconds: 1}", "servers[1].comm_seconds: '-1' is not"),
        ("{name: b, memory_bytes: 5, comm_seconds: 0, compute_seconds: 0}", "are both 0"),
        ("{name: b, memory_bytes: 5e9, comm_seconds: 1, compute_seconds: 1}", "check the units"),
        ("{name: b, memry_bytes: 5, comm_seconds: 1, compute_seconds: 1}", "servers[1].memry_bytes: there is no"),
        ("{name: b, memory_bytes: 5, compute_seconds: 1}", "servers[1].comm_seconds: this is missing"),
        ("{name: b, memory_bytes: 5, comm_seconds: 1}", "servers[1].compute_seconds: this is missing"),
        ("{name: b, comm_seconds: 1, compute_seconds: 1}", "servers[1].memory_bytes: this is missing"),
        ("{name: b, memory_bytes: 5, memory_bytes: 6}", "'memory_bytes' is given twice"),
        ("{name: good, memory_bytes: 5, comm_seconds: 1, compute_seconds: 1}", "servers[0] is named good too"),
        ("{name: '', memory_bytes: 5, comm_seconds: 1, compute_seconds: 1}", "servers[1].name: '' is not a name"),
        ('{name: "a\\e[1m", memory_bytes: 5, comm_seconds: 1, compute_seconds: 1}', r"'a\x1b[1m' is not a name"),
        ("{name: [b], memory_bytes: 5, comm_seconds: 1, compute_seconds: 1}", "servers[1].name: this is a list"),
        ("{name: b, count: 0, memory_bytes: 5, comm_seconds: 1, compute_seconds: 1}", "servers[1].count: '0' is not"),
        ("{name: b, count: 1.5, memory_bytes: 5, comm_seconds: 1, compute_seconds: 1}", "servers[1].count: '1.5' is"),
        ("{name: b, count: 1e6, memory_bytes: 5, comm_seconds: 1, compute_seconds: 1}", "more than 100,000 servers"),
        ("{name: b, device: Abacus, comm_seconds: 1}", "servers[1].device: 'Abacus' is not known"),
        ("{name: b, device: T4, compute_seconds: 1, comm_seconds: 1}", "servers[1].compute_seconds: this follows from"),
        ("{name: b, device: T4, tflops: 1, comm_seconds: 1}", "servers[1].tflops: this follows from"),
        ("{name: b, tflops: 1, memory_bytes: 5, comm_seconds: 1}", "servers[1].bandwidth: this is missing"),
        ("{name: b, tflops: 1e-320, bandwidth: 1, memory_bytes: 5, comm_seconds: 1}", "compute_seconds is inf"),
        ("[1, 2]", "servers[1]: this is not a mapping"),
        ("b", "servers[1]: this is not a mapping"),
        ("*b", "aliases (*b) are not read here"),
    ],
)  # fmt: skip
def test_a_server_that_cannot_be(capfd: pytest.CaptureFixture[str], file: Path, server: str, said: str) -> None:
    code, line = complaint(capfd, written(file, f"{MODEL}\nservers:\n  - {GOOD}\n  - {server}\n"))
    assert code == 2
    assert str(file) in line and said in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a mapping"),
        ("hello", "not a mapping"),
        ("- 1", "not a mapping"),
        (MODEL, "servers: this is missing"),
        (f"servers: [{GOOD}]", "model: this is missing"),
        (f"{MODEL}\nservers: []", "no servers"),
        (f"{MODEL}\nservers: {{good: {GOOD}}}", "servers: this is not a list"),
        (f"{MODEL}\nserver: [{GOOD}]", "server: there is no such key"),
        (f"{MODEL}\nservers: [{GOOD}]\n--- \n{MODEL}", "second document"),
        (f"{MODEL}\nservers: [{GOOD}]\ndevices: {{fast: {{tflops: 1}}}}", "devices.fast.bandwidth: this is missing"),
        (f"{MODEL}\nservers: [{GOOD}]\njob: {{input_tokens: 0}}", "job.input_tokens: '0' is not above 0"),
        ("model: {blocks: 3", "this is not YAML"),
        ("model:\n\tblocks: 3", "line 2: this is not YAML"),
        ("[" * 100_000, "16 deep"),
        ("a\0b", "not YAML"),
        (f"model: {{blocks: 1000000, block_bytes: 1, cache_bytes: 1}}\nservers: [{GOOD}]", "1,000,000 blocks"),
        (f"model: {{blocks: 0, block_bytes: 1, cache_bytes: 1}}\nservers: [{GOOD}]", "model.blocks: '0' is not"),
        (f"model: {{blocks: 3, block_bytes: 0, cache_bytes: 1}}\nservers: [{GOOD}]", "model.block_bytes: '0' is not"),
        (f"model: {{blocks: 3, block_bytes: 1}}\nservers: [{GOOD}]", "model.cache_bytes: this is missing"),
        (f"model: {{name_or_path: x, blocks: 3}}\nservers: [{GOOD}]", "model.blocks: this follows from name_or_path"),
        (f"{MODEL[:-1]}, dtype: float16}}\nservers: [{GOOD}]", "model.dtype: this needs name_or_path"),
        (f"model: {{name_or_path: x, dtype: int3}}\nservers: [{GOOD}]", "model.dtype: 'int3' is not one of"),
    ],
)
def test_a_file_that_describes_no_cluster(capfd: pytest.CaptureFixture[str], file: Path, text: str, said: str) -> None:
    code, line = complaint(capfd, written(file, text))
    assert code == 2
    assert str(file) in line and said in line


def test_names_that_a_count_makes_may_not_be_taken(capfd: pytest.CaptureFixture[str], file: Path) -> None:
    servers = f"{GOOD[:-1]}, count: 3}}, {GOOD.replace('good', 'good-2')}"
    code, line = complaint(capfd, written(file, f"{MODEL}\nservers: [{servers}]"))
    assert code == 2
    assert "servers[1].name: servers[0] is named good-2 too" in line


def test_what_is_no_text_file(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    with (tmp_path / "huge").open("wb") as stream:
        stream.truncate(2**40)
    for name, said in [
        ("nowhere", "No such file"), ("binary", "not text"), ("huge", "larger than"), (".", "Is a directory")
    ]:  # fmt: skip
        code, line = complaint(capfd, tmp_path / name)
        assert code == 2
        assert said in line


def test_aliases_that_would_unfold_without_end_are_refused(file: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
    )
    with pytest.raises(ClusterInvalid, match="aliases"):
        read(file, bomb)


def test_an_unknown_model_is_no_mistake_of_the_file(capfd: pytest.CaptureFixture[str], file: Path) -> None:
    code, line = complaint(capfd, written(file, f"model: {{name_or_path: /nowhere}}\nservers: [{GOOD}]"))
    assert code == 1
    assert "/nowhere" in line


def test_machines_that_do_not_hold_the_model(capfd: pytest.CaptureFixture[str], file: Path) -> None:
    code, line = complaint(capfd, written(file, f"{MODEL.replace('3', '30')}\nservers: [{GOOD}]"))
    assert code == 1
    assert "hold 4 of 30 blocks" in line


def test_jobs_that_arrive_too_fast(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = swarm(capfd, "plan", EXAMPLE, "--arrival-rate", 100)
    assert outcome.code == 1
    assert "100/s" in outcome.complaint


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_an_arrival_rate_that_cannot_be(capfd: pytest.CaptureFixture[str], rate: str) -> None:
    outcome = swarm(capfd, "plan", EXAMPLE, "--arrival-rate", rate)
    assert outcome.code == 2
    assert "arrival rate" in outcome.complaint


def test_a_plan_by_sizes_does_not_wait_for_torch() -> None:
    script = (
        "import sys\nfrom cli.main import app\n"
        "try:\n    app(args=sys.argv[1:])\n"
        "finally:\n    print(sorted({'torch', 'transformers', 'hivemind'} & set(sys.modules)), file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, "plan", str(EXAMPLE), "--arrival-rate", "0.2"],
        capture_output=True, text=True, timeout=60, cwd=ROOT, check=True,
    )  # fmt: skip
    assert ended.stderr.strip() == "[]"
