"""A swarm of real nodes with room for one session, and more clients than that."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from routing import Span
from swarm_node import AutoSwarmModelForCausalLM, SwarmModel
from swarm_node.client import waiting
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.models import make_model
from tests.swarm.runs import OPTIONS, expected, generated, prompt_of

PROMPT_TOKENS = 300
NEW_TOKENS = 8


def test_clients_that_come_at_once_are_served_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_node: Program
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.0)
    path = make_model("llama", tmp_path / "llama")
    prompts = [prompt_of(PROMPT_TOKENS + number) for number in range(4)]
    notices: list[str] = []

    def connect() -> SwarmModel:
        return AutoSwarmModelForCausalLM.from_pretrained(
            str(path), initial_peers=[swarm.address], dtype="float32", timeout=60.0, notice=notices.append
        )

    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        # Two blocks have 166 KB of weights, and the 512 tokens that a node must hold need 197 KB of cache there.
        swarm.start([Span(0, 2), Span(2, 4)], ("--memory", "375KB"))
        with connect() as one, connect() as other, ThreadPoolExecutor(len(prompts)) as pool:
            asked = zip((one, other, one, other), prompts, strict=True)
            answers = [pool.submit(generated, model, prompt, NEW_TOKENS) for model, prompt in asked]
            written = [answer.result() for answer in answers]
    assert written == [expected(path, prompt, NEW_TOKENS) for prompt in prompts]
    assert any("before this one" in notice for notice in notices)
