"""What ``swarm check`` tells of a model before anybody serves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import swarm
from tests.models import make_model


def told(capfd: pytest.CaptureFixture[str], directory: Path, *options: str) -> dict[str, Any]:
    outcome = swarm(capfd, "check", directory, "--json", *options)
    facts: dict[str, Any] = json.loads(outcome.out)
    assert (outcome.code == 0) == facts["served"]
    return facts


def test_a_model_of_attention_takes_cache_by_the_token(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    facts = told(capfd, make_model("llama", tmp_path))
    assert (facts["type"], facts["blocks"], facts["cuts"]) == ("llama", 4, [1, 2, 3])
    assert facts["runs"] == "our own form of each block"
    assert facts["token_bytes"] == 4 * (2 * 2 * 12) * 4
    assert facts["session_bytes"] == 512 * 4 * (2 * 2 * 12) * 4
    assert facts["state_bytes"] == 0


def test_a_seeing_hybrid_takes_states_and_says_what_it_leaves_out(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    facts = told(capfd, make_model("qwen3_5", tmp_path))
    assert facts["left_out"] == ["visual"]
    assert facts["token_bytes"] == 2 * 64 * 4  # of every other block
    assert facts["state_bytes"] == 2 * 2 * (512 + 1024) * 4
    assert facts["runs"] == "its own blocks and attention"


def test_it_names_the_files_of_some_blocks(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    span = told(capfd, make_model("llama", tmp_path, shard_size="50KB"), "--blocks", "1:2")["span"]
    assert span["blocks"] == "1:2"
    files = {path.name: path.stat().st_size for path in tmp_path.glob("*.safetensors")}
    assert 0 < len(span["files"]) < len(files)
    assert span["files"].items() <= files.items()


def test_people_read_it_in_lines(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome = swarm(capfd, "check", make_model("lfm2", tmp_path))
    assert outcome.code == 0
    assert "lfm2" in outcome.out and "a session in all blocks, however long it is" in outcome.out


def test_what_cannot_be_served_is_told_in_one_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    directory = make_model("gemma3n_text", tmp_path)
    outcome = swarm(capfd, "check", directory)
    assert outcome.code == 1
    assert outcome.complaint.startswith("error: model type gemma3n_text is not supported: its last 2 blocks")
    facts = told(capfd, directory)
    assert not facts["served"] and "gemma3n_text" in facts["why"]


def test_blocks_that_there_are_not_are_an_error(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome = swarm(capfd, "check", make_model("llama", tmp_path), "--blocks", "2:9")
    assert outcome.code == 2 and "the model has blocks 0:4" in outcome.complaint
