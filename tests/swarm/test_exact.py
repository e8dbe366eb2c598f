"""A chain of three node processes writes what plain transformers writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swarm_node import AutoSwarmModelForCausalLM
from swarm_node.local_swarm import LocalSwarm
from swarm_node.model.source import ModelSource
from swarm_node.program import Program
from tests.models import EXACT, make_model
from tests.swarm.runs import OPTIONS, expected, generated, prompt_of, thirds

PROMPTS = [prompt_of(tokens) for tokens in (1, 17, 100, 300)]
OF_EACH_KIND = {"llama"}
"""Lean blocks. The blocks of all run in the tests of compute, too."""


@pytest.mark.parametrize(
    "architecture", [name if name in OF_EACH_KIND else pytest.param(name, marks=pytest.mark.slow) for name in EXACT]
)
def test_four_sessions_at_once_write_the_same_tokens(architecture: str, tmp_path: Path, warm_node: Program) -> None:
    path = make_model(architecture, tmp_path)
    blocks = ModelSource.open(str(path)).blocks
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        swarm.start(thirds(blocks))
        with (
            AutoSwarmModelForCausalLM.from_pretrained(
                str(path), initial_peers=[swarm.address], dtype="float32"
            ) as model,
            ThreadPoolExecutor(len(PROMPTS)) as pool,
        ):
            written = list(pool.map(lambda prompt: generated(model, prompt), PROMPTS))
    for prompt, tokens in zip(PROMPTS, written, strict=True):
        assert tokens == expected(path, prompt), f"prompt of {len(prompt)} tokens"
