"""Sequences whose rotary frequencies change when they get long."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from swarm_node.model.rope import longest_alike
from tests.models import make_config

LIMIT = 32
"""Of both models here."""


@pytest.mark.parametrize(
    ("name", "length", "longest"),
    [
        ("llama", 500, None),
        ("phi3_long", LIMIT, LIMIT),
        ("phi3_long", LIMIT + 1, None),
        ("llama_dynamic", LIMIT - 5, LIMIT),
        ("llama_dynamic", LIMIT + 5, LIMIT + 5),
    ],
)
def test_no_token_is_verified_with_frequencies_that_it_would_not_have_alone(
    name: str, length: int, longest: int | None
) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(make_config(name))
    assert longest_alike(model)(length) == longest
