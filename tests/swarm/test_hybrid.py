"""Models whose blocks keep states, through node processes: batches, guesses, and nodes that die."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swarm_node import AutoSwarmModelForCausalLM, SwarmModel
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.models import make_model
from tests.swarm.runs import OPTIONS, AfterTokens, expected, generated, prompt_of, thirds

PROMPTS = [prompt_of(tokens) for tokens in (1, 17, 100, 300)]
KINDS = [
    "qwen3_5_text",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("nemotron_h", "jamba", "lfm2_moe", "mamba")),
]


@pytest.fixture(scope="module", params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(request.param, tmp_path_factory.mktemp("hybrid"))


@pytest.fixture(scope="module")
def doubled(path: Path, warm_node: Program) -> Iterator[LocalSwarm]:
    """Every block on two nodes."""
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        swarm.start([*thirds(4), *thirds(4)])
        yield swarm


def connect(path: Path, swarm: LocalSwarm) -> SwarmModel:
    return AutoSwarmModelForCausalLM.from_pretrained(str(path), initial_peers=[swarm.address], dtype="float32")


def test_four_sessions_at_once_write_the_same_tokens(path: Path, doubled: LocalSwarm) -> None:
    with connect(path, doubled) as model, ThreadPoolExecutor(len(PROMPTS)) as pool:
        written = list(pool.map(lambda prompt: generated(model, prompt), PROMPTS))
    for prompt, tokens in zip(PROMPTS, written, strict=True):
        assert tokens == expected(path, prompt), f"prompt of {len(prompt)} tokens"


def test_guesses_from_the_prompt_do_not_change_the_text(path: Path, doubled: LocalSwarm) -> None:
    prompt = prompt_of(20) * 4
    with connect(path, doubled) as model:
        assert generated(model, prompt, prompt_lookup_num_tokens=5) == expected(path, prompt)


def test_killing_a_node_does_not_change_the_text(path: Path, doubled: LocalSwarm) -> None:
    def kill() -> None:
        peer_id = model.route()[1].node.peer_id
        next(node for node in doubled.nodes if node.peer_id == peer_id).kill()

    with connect(path, doubled) as model:
        assert generated(model, PROMPTS[2], streamer=AfterTokens(10, kill)) == expected(path, PROMPTS[2])
