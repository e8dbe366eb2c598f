"""A model's blocks are looked at once, and again where what was found does not hold or cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm_node.model import known_shapes
from swarm_node.model.known_shapes import shapes_of
from swarm_node.model.probe import probe
from tests.models import make_config


@pytest.fixture
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The configs that were looked at, with an empty folder to remember in."""
    seen: list[object] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(known_shapes, "probe", lambda config: (seen.append(config), probe(config))[1])
    return seen


def test_a_model_is_looked_at_once(probes: list[object]) -> None:
    assert shapes_of(make_config("llama")) == shapes_of(make_config("llama")) == probe(make_config("llama"))
    assert len(probes) == 1


def test_another_config_is_another_model(probes: list[object]) -> None:
    config = make_config("llama")
    shapes_of(config)
    config.intermediate_size *= 2
    assert shapes_of(config) == probe(config)
    assert len(probes) == 2


@pytest.mark.parametrize("content", [b"", b"\xff{", b"{}", b'{"list_name": 1}'])
def test_a_damaged_file_is_written_anew(probes: list[object], tmp_path: Path, content: bytes) -> None:
    config = make_config("llama")
    found = shapes_of(config)
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(content)
    assert shapes_of(config) == shapes_of(config) == found
    assert len(probes) == 2


def test_a_disk_that_refuses_does_no_harm(
    probes: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    config = make_config("llama")
    assert shapes_of(config) == shapes_of(config)
    assert len(probes) == 2
