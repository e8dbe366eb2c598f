"""What others hear of a model's name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dht.card_record import NAME_PATTERN
from swarm_node.model.naming import public_name


def test_a_model_of_the_hub_keeps_its_name() -> None:
    assert public_name("Qwen/Qwen3-0.6B", on_hub=True) == "Qwen/Qwen3-0.6B"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("llama", "llama"),
        ("my model (v2)", "my-model--v2-"),
        (".hidden", "hidden"),
        ("--new-swarm", "new-swarm"),
        ("\x1b[31m", "31m"),
        ("模型", "模型"),
        ("$(reboot)", "reboot-"),
        ("...", "model"),
        ("x" * 200, "x" * 96),
    ],
)
def test_of_a_directory_only_its_own_name_is_told_and_that_in_plain_characters(
    tmp_path: Path, folder: str, name: str
) -> None:
    told = public_name(str(tmp_path / "secret" / folder), on_hub=False)
    assert told == name
    assert re.fullmatch(NAME_PATTERN.removeprefix(r"\A").removesuffix(r"\z"), told)


def test_a_relative_directory_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llama").mkdir()
    monkeypatch.chdir(tmp_path / "llama")
    assert public_name(".", on_hub=False) == "llama"
