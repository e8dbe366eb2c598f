"""Sessions that begin with the same tokens write what they would have written, and send them once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cli.demo import even_spans
from routing import Span
from swarm_node import AutoSwarmModelForCausalLM, SwarmModel
from swarm_node.client.chain import Chain
from swarm_node.client.step import SessionStep
from swarm_node.local_swarm import LocalSwarm
from swarm_node.model.source import ModelSource
from swarm_node.program import Program
from tests.models import make_model
from tests.swarm.runs import OPTIONS, expected, generated, prompt_of

FIRST = prompt_of(150)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Position and tokens of every step that this process sends into a swarm."""
    steps: list[tuple[int, int]] = []
    plain_step = Chain.step

    async def step(self: Chain, step: SessionStep) -> None:
        steps.append((step.position, len(step.hidden)))
        await plain_step(self, step)

    monkeypatch.setattr(Chain, "step", step)
    return steps


def connect(path: Path, swarm: LocalSwarm) -> SwarmModel:
    return AutoSwarmModelForCausalLM.from_pretrained(str(path), initial_peers=[swarm.address], dtype="float32")


def second_turn(model: Any, first: list[int]) -> tuple[list[int], list[int]]:
    """The prompt of a chat's second turn, in a session of its own, and the answer."""
    prompt = [*first, *generated(model, first), *prompt_of(7)]
    return prompt, generated(model, prompt)


@pytest.mark.parametrize(
    "architecture", [pytest.param(name, marks=pytest.mark.slow) for name in ("gemma3_text", "bloom")]
)
def test_the_second_turn_of_a_chat_is_what_it_would_have_been(
    architecture: str, tmp_path: Path, sent: list[tuple[int, int]], warm_node: Program
) -> None:
    path = make_model(architecture, tmp_path)
    blocks = ModelSource.open(str(path)).blocks
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        swarm.start(even_spans(blocks, 2))
        with connect(path, swarm) as model:
            prompt, answer = second_turn(model, FIRST)
    assert answer == expected(path, prompt)
    # 150 tokens and an answer of 40 fill two chunks; if its end came in time, nothing more is sent than what is new.
    assert max(position for position, tokens in sent if position + tokens == len(prompt)) >= 128


def test_sessions_at_once_share_a_system_prompt(path: Path, swarm: LocalSwarm, sent: list[tuple[int, int]]) -> None:
    prompts = [[*FIRST, *prompt_of(tokens)] for tokens in (5, 9, 60, 90)]
    with connect(path, swarm) as model, ThreadPoolExecutor(len(prompts)) as pool:
        generated(model, FIRST, 1)
        sent.clear()
        written = list(pool.map(lambda prompt: generated(model, prompt), prompts))
    assert written == [expected(path, prompt) for prompt in prompts]
    assert min(position for position, _tokens in sent) == 128


def test_another_client_sends_all_of_it(path: Path, swarm: LocalSwarm, sent: list[tuple[int, int]]) -> None:
    with connect(path, swarm) as alice:
        prompt, answer = second_turn(alice, FIRST)
    sent.clear()
    with connect(path, swarm) as bob:
        assert generated(bob, prompt) == answer == expected(path, prompt)
    assert sent[0] == (0, len(prompt))


def test_another_client_sends_less_where_the_operators_let_clients_share(
    path: Path, sent: list[tuple[int, int]], warm_node: Program
) -> None:
    with LocalSwarm(str(path), (*OPTIONS, "--share-prefixes"), warm_node) as swarm:
        swarm.start([Span(0, 4)])
        with connect(path, swarm) as alice:
            prompt, answer = second_turn(alice, FIRST)
        sent.clear()
        with connect(path, swarm) as bob:
            assert generated(bob, prompt) == answer == expected(path, prompt)
    assert sent[0][0] >= 128


def test_a_node_with_room_for_one_session_serves_one_after_the_other_and_keeps_the_last(
    path: Path, sent: list[tuple[int, int]], warm_node: Program
) -> None:
    with LocalSwarm(str(path), (*OPTIONS, "--memory", "710KiB"), warm_node) as swarm:
        swarm.start([Span(0, 4)])
        with connect(path, swarm) as model:
            for first in (prompt_of(300), prompt_of(301)):
                prompt, answer = second_turn(model, first)
                assert answer == expected(path, prompt)
    assert sent.count((320, 27)) == sent.count((320, 28)) == 1
