"""Number formats of the client's side, and hidden states that travel rounded: fewer bytes, nearly the same answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from routing.errors import UsageError
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


@pytest.mark.parametrize(
    "given", [{"dtype": torch.bfloat16}, {"torch_dtype": "bfloat16"}], ids=["dtype", "torch_dtype"]
)
def test_a_dtype_is_given_as_to_transformers(path: Path, swarm: LocalSwarm, given: dict[str, Any]) -> None:
    with AutoSwarmModelForCausalLM.from_pretrained(
        str(path), initial_peers=[swarm.address], wire_dtype=torch.bfloat16, **given
    ) as model:
        assert model.dtype is model(torch.tensor([prompt_of(5)])).logits.dtype is torch.bfloat16


@pytest.mark.parametrize("given", ["dtype", "wire_dtype"])
def test_a_dtype_that_is_none_of_the_choices_is_refused_before_the_swarm_is_joined(path: Path, given: str) -> None:
    with pytest.raises(UsageError, match=r"'torch\.float64' is unknown; choose one of auto, float32"):
        AutoSwarmModelForCausalLM.from_pretrained(
            str(path), initial_peers="/ip4/127.0.0.1/tcp/9", **{given: torch.float64}
        )
