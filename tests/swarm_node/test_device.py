"""A device is one that this machine has, or one clear line."""

from __future__ import annotations

import pytest
import torch

from routing.errors import UsageError
from swarm_node.device import chosen_device


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    assert chosen_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("gpu", "'gpu' is no device; write cpu, cuda or cuda:1"),
        ("cuda:99", "this machine has no device cuda:99"),
        ("meta", "this machine has no device meta"),
    ],
)
def test_other_names_are_refused(name: str, complaint: str) -> None:
    assert chosen_device("cpu") == "cpu"
    with pytest.raises(UsageError, match=complaint):
        chosen_device(name)
