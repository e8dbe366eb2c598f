"""Nodes find their own blocks, and go to others when they are needed there."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing import Span
from swarm_node import AutoSwarmModelForCausalLM
from swarm_node.local_swarm import LocalSwarm
from swarm_node.model_source import ModelSource
from tests.models import CONTEXT, make_model
from tests.swarm.runs import OPTIONS, expected, generated, prompt_of

PROMPT = prompt_of(20)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("llama", tmp_path_factory.mktemp("llama"))


def memory_for(path: Path, blocks: int) -> tuple[str, str]:
    """Room for so many blocks, with four of the longest sessions in each."""
    source = ModelSource.open(str(path))
    footprint = source.footprint(source.resolve_dtype("float32"))
    return "--memory", f"{blocks * (footprint.block_bytes + 4 * CONTEXT * footprint.token_bytes)}B"


def test_when_a_node_leaves_another_takes_its_blocks_and_keeps_those_of_its_own_that_are_needed(path: Path) -> None:
    with LocalSwarm(str(path), OPTIONS) as swarm:
        (first, _) = swarm.start([Span(0, 1), Span(3, 4)])
        (chooser,) = swarm.start([None], memory_for(path, 3))
        first.stop()
        address = chooser.address
        with AutoSwarmModelForCausalLM.from_pretrained(str(path), initial_peers=[address], dtype="float32") as model:
            assert generated(model, PROMPT) == expected(path, PROMPT)
            assert [hop.span for hop in model.route()] == [Span(0, 3), Span(3, 4)]
            assert model.route()[0].node.peer_id == chooser.peer_id


def test_a_node_that_has_nothing_to_keep_goes_where_blocks_are_missing(path: Path) -> None:
    with LocalSwarm(str(path), OPTIONS) as swarm:
        (first,) = swarm.start([Span(0, 2)])
        (chooser,) = swarm.start([None], memory_for(path, 2))
        swarm.start([Span(2, 4)])
        first.stop()
        address = chooser.address
        with AutoSwarmModelForCausalLM.from_pretrained(str(path), initial_peers=[address], dtype="float32") as model:
            assert generated(model, PROMPT) == expected(path, PROMPT)
            assert model.route()[0].node.peer_id == chooser.peer_id
