"""A slice of the table of model types, and the page that is made of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from model_table.kinds import CAUSAL, WRAPPING, every_kind
from model_table.page import page_of
from model_table.runner import run_trials
from model_table.trial import Trial

QUICK = ["llama", "lfm2", "mistral3", "bart"]
SLICE = [
    "deepseek_v32", "falcon_h1", "gemma3", "glm4v_moe", "gpt_oss", "inkling_text", "jamba", "kimi_k25", "kimi_linear",
    "llama4", "minimax", "modernbert-decoder", "nemotron_h", "qwen2_5_vl", "qwen3_5_moe", "qwen3_vl_moe", "smolvlm",
]  # fmt: skip
"""One of each kind that is served in a way of its own."""


def test_trials_tell_what_is_exact_and_what_is_refused_and_the_page_shows_both(tmp_path: Path) -> None:
    trials = run_trials(QUICK, tmp_path, 120)
    assert [trial.exact for trial in trials] == [True, True, True, False]
    assert trials[-1].refused and "encoded" in trials[-1].said
    page = page_of(trials)
    assert "| `llama` | Llama 1 to 3.3, SmolLM, TinyLlama | lean |  |" in page
    assert "| `lfm2` | LFM2 | rectangle | states |" in page
    assert "| `bart` | its blocks also read what another part of the model has encoded |" in page
    assert [Trial.model_validate_json(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()] == trials


def test_a_trial_that_does_not_end_is_told_as_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_table.runner.tried", lambda kind: time.sleep(60))
    assert run_trials(["llama"], tmp_path, 1)[0].wrong


@pytest.mark.slow
def test_one_of_each_kind_is_exact(tmp_path: Path) -> None:
    trials = run_trials(SLICE, tmp_path, 120)
    assert [(trial.kind, trial.said) for trial in trials if not trial.exact] == []


def test_there_are_types_of_both_kinds() -> None:
    assert {"llama", "qwen3_5"} <= CAUSAL and {"mistral3", "qwen3_5", "voxtral"} <= WRAPPING
    assert set(every_kind()) == CAUSAL | WRAPPING
