"""A conversation through a swarm."""

from __future__ import annotations

import io
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from routing import Span
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.cli.command import swarm
from tests.swarm.runs import OPTIONS

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
TURNS = ["What is a list?", "And a dict?"]


def plain_answers(path: Path, tokens: int) -> list[str]:
    """What plain transformers says to TURNS."""
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    messages: list[dict[str, str]] = []
    answers = []
    for turn in TURNS:
        messages.append({"role": "user", "content": turn})
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        output = model.generate(**inputs, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
        answers.append(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
        messages.append({"role": "assistant", "content": answers[-1]})
    return answers


def test_every_turn_is_answered_as_plain_transformers_would(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, warm_node: Program
) -> None:
    path = tmp_path / "model"
    shutil.copytree(str(files("swarm_node") / "demo_model"), path)
    (path / "chat_template.jinja").write_text(TEMPLATE)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(TURNS)))
    with LocalSwarm(str(path), OPTIONS, warm_node) as local:
        local.start([Span(0, 3), Span(3, 6)])
        outcome = swarm(
            capfd, "chat", "--model", path, "--initial-peers", local.address, "--max-new-tokens", "16",
            "--temperature", "0", "--dtype", "float32",
        )  # fmt: skip
    assert outcome.code == 0
    expected = "".join(answer + "\n" for answer in plain_answers(path, 16))
    assert outcome.out.split() == expected.split()


def test_a_model_without_a_chat_template_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = swarm(
        capfd, "chat", "--model", files("swarm_node") / "demo_model", "--initial-peers", "/ip4/127.0.0.1/tcp/9/p2p/x"
    )
    assert outcome.code == 2
    assert "swarm generate" in outcome.complaint
