"""A head that many threads use multiplies together what waits for it, and gives everyone their own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from swarm_node.generate.head import SharedHead


class Gated(nn.Linear):
    """A linear layer that notes what it multiplies, waits at a gate, and fails on a NaN."""

    def __init__(self) -> None:
        super().__init__(8, 32, bias=False)
        self.seen: list[int] = []
        self.entered = threading.Event()
        self.gate = threading.Event()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        self.seen.append(rows.shape[0])
        self.entered.set()
        assert self.gate.wait(10)
        if rows.isnan().any():
            raise RuntimeError("not a number")
        return super().forward(rows)


def used_at_once(head: Gated, inputs: list[torch.Tensor]) -> list[torch.Tensor | BaseException]:
    """The first input goes in alone, all others come while it is inside."""
    shared = SharedHead(head)

    def run(rows: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return shared(rows)

    with ThreadPoolExecutor(len(inputs)) as pool:
        calls = [pool.submit(run, inputs[0])]
        assert head.entered.wait(10)
        calls += [pool.submit(run, rows) for rows in inputs[1:]]
        while len(shared._waiting) < len(inputs) - 1:
            pass
        head.gate.set()
    return [call.exception() or call.result() for call in calls]


def test_rows_that_wait_are_multiplied_in_one_go() -> None:
    head = Gated()
    inputs = [torch.randn(1, 1, 8), torch.randn(1, 3, 8), torch.randn(2, 1, 8), torch.randn(1, 8)]
    outputs = used_at_once(head, inputs)
    assert head.seen == [1, 6]
    for rows, output in zip(inputs, outputs, strict=True):
        assert isinstance(output, torch.Tensor)
        assert output.shape == (*rows.shape[:-1], 32)
        torch.testing.assert_close(output, rows @ head.weight.t())


def test_rows_that_fail_fail_alone() -> None:
    outputs = used_at_once(Gated(), [torch.randn(1, 8), torch.full((1, 8), torch.nan), torch.randn(1, 8)])
    assert [type(output) for output in outputs] == [torch.Tensor, RuntimeError, torch.Tensor]


def test_a_model_that_looks_at_the_weight_sees_the_heads() -> None:
    head = nn.Linear(8, 32)
    assert SharedHead(head).weight is head.weight


@pytest.mark.parametrize("rows", [1, 5])
def test_alone_it_is_the_head(rows: int) -> None:
    head = nn.Linear(8, 32)
    inputs = torch.randn(1, rows, 8)
    torch.testing.assert_close(SharedHead(head)(inputs), head(inputs))
