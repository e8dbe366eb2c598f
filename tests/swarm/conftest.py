"""Fixtures of the swarm tests: a tiny model on disk, and three node processes that serve it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm_node import AutoSwarmModelForCausalLM, SwarmModel
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.models import make_model
from tests.swarm.runs import OPTIONS, thirds


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of four blocks."""
    return make_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def swarm(path: Path, warm_node: Program) -> Iterator[LocalSwarm]:
    """Three nodes, each with a third of its blocks."""
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        swarm.start(thirds(4))
        yield swarm


@pytest.fixture(scope="module")
def model(path: Path, swarm: LocalSwarm) -> Iterator[SwarmModel]:
    """That model, with its blocks in these nodes."""
    with AutoSwarmModelForCausalLM.from_pretrained(str(path), initial_peers=[swarm.address], dtype="float32") as model:
        yield model
