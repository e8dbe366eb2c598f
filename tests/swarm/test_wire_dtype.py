"""Hidden states that travel rounded: fewer bytes, nearly the same answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from swarm_node import AutoSwarmModelForCausalLM
from swarm_node.local_swarm import LocalSwarm
from tests.swarm.runs import prompt_of


@pytest.mark.parametrize(("wire", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.03), ("int8", 0.06)])
def test_the_distribution_stays_near_that_of_transformers(
    path: Path, swarm: LocalSwarm, wire: str, tolerance: float
) -> None:
    ids = torch.tensor([prompt_of(20)])
    plain = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    with (
        torch.no_grad(),
        AutoSwarmModelForCausalLM.from_pretrained(
            str(path), initial_peers=[swarm.address], dtype="float32", wire_dtype=wire
        ) as model,
    ):
        expected, found = plain(ids).logits, model(ids).logits
    off = ((found - expected).norm() / expected.norm()).item()
    assert off < tolerance
    assert wire == "float32" or off > 1e-4
