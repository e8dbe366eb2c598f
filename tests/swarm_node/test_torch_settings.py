"""What torch is told by importing swarm_node, each time in a process of its own as it reads it once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CHOSEN_HERE = {"GOMP_SPINCOUNT": "30000", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "64"}

GROWTH_MIB = """
import swarm_node
import torch
from swarm_node.model.fast_linear import OneDnnLinear

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) / 256

linear, rows = OneDnnLinear(torch.ones(512, 256), None), torch.ones(500, 256)
with torch.inference_mode():
    linear(rows)
    before = resident()
    for count in range(1, 501):
        linear(rows[:count])
print(resident() - before)
"""


def printed(code: str, chosen: dict[str, str]) -> str:
    """By Python code in a process whose user has chosen these settings and no others."""
    environment = {name: value for name, value in os.environ.items() if name not in CHOSEN_HERE} | chosen
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("name", CHOSEN_HERE)
@pytest.mark.parametrize("users", [None, "7"])
def test_a_setting_of_the_user_comes_before_ours(name: str, users: str | None) -> None:
    code = f"import swarm_node, os, sys; print(os.environ[{name!r}], 'torch' in sys.modules)"
    assert printed(code, {} if users is None else {name: users}).split() == [users or CHOSEN_HERE[name], "False"]


@pytest.mark.slow
def test_memory_does_not_grow_with_every_length_of_prompt_that_comes() -> None:
    growth = float(printed(GROWTH_MIB, {}))
    unlimited = float(
        printed(GROWTH_MIB, dict.fromkeys(["ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"], "1024"))
    )
    assert growth < unlimited / 2
