"""A node that starts again knows how fast it is."""

from pathlib import Path

import pytest
import torch

from swarm_node.engine import speed
from swarm_node.engine.settings import SPEED_LIFE_SECONDS
from swarm_node.engine.speed import ComputeSpeed, known_speed, remember_speed, speed_file
from swarm_node.model.quant import Quant

SPEED = ComputeSpeed(0.001, 0.002)


def test_a_measured_speed_is_known_at_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / "new" / "speed.json"
    assert known_speed(file) is None
    remember_speed(file, SPEED)
    assert known_speed(file) == SPEED


def test_yesterdays_speed_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "speed.json"
    remember_speed(file, SPEED)
    now = speed.time.time()
    monkeypatch.setattr(speed.time, "time", lambda: now + SPEED_LIFE_SECONDS + 1)
    assert known_speed(file) is None


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"prefill_seconds": -1, "decode_seconds": 1, "measured_at": 0}'])
def test_a_broken_file_is_no_speed(tmp_path: Path, text: str) -> None:
    file = tmp_path / "speed.json"
    file.write_text(text)
    assert known_speed(file) is None


def test_a_disk_that_refuses_only_costs_a_measurement(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a directory should be")
    remember_speed(tmp_path / "taken" / "speed.json", SPEED)
    assert known_speed(tmp_path / "taken" / "speed.json") is None


def test_another_model_number_format_or_device_is_another_speed() -> None:
    files = {
        speed_file("a", torch.float32, Quant.NONE, "cpu"),
        speed_file("b", torch.float32, Quant.NONE, "cpu"),
        speed_file("a", torch.bfloat16, Quant.NONE, "cpu"),
        speed_file("a", torch.float32, Quant.INT8, "cpu"),
        speed_file("a", torch.float32, Quant.NONE, "NVIDIA H100 / 80GB"),
    }
    assert len(files) == 5
    assert len({file.parent for file in files}) == 1
