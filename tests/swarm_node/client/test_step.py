"""A session's step, from the frames that carry it to what comes back."""

from __future__ import annotations

import pytest
import torch

from routing.errors import ProtocolError
from swarm_node.client.settings import PREFILL_STEP_TOKENS
from swarm_node.client.step import SessionStep, StepState

FULL = PREFILL_STEP_TOKENS


@pytest.mark.parametrize(
    ("tokens", "keep", "frames"),
    [
        (1, 1, [(1, 1)]),
        (FULL, 3, [(FULL, 3)]),
        (2 * FULL, 1, [(FULL, 0), (FULL, 1)]),
        (2 * FULL + 5, 7, [(FULL, 0), (FULL, 2), (5, 5)]),
        (FULL + 5, FULL + 5, [(FULL, FULL), (5, 5)]),
    ],
)
def test_a_long_step_goes_in_frames_of_which_the_last_keep_what_is_wanted(
    tokens: int, keep: int, frames: list[tuple[int, int]]
) -> None:
    assert SessionStep(torch.zeros(tokens, 2), 0, keep).frames() == frames


def sent(keep: int, first: int = 3, frames: int = 2) -> SessionStep:
    step = SessionStep(torch.zeros(8, 2), 0, keep)
    step.send(first, frames)
    return step


def test_it_is_done_when_all_has_come_back_that_was_wanted() -> None:
    step = sent(keep=3)
    step.take(3, torch.zeros(2, 2))
    assert step.state is StepState.SENT and not step.over.is_set()
    step.take(4, torch.ones(1, 2))
    assert step.state is StepState.DONE and step.over.is_set()
    assert torch.equal(step.output(), torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]))


def test_what_answers_a_step_that_was_given_up_is_not_taken() -> None:
    step = sent(keep=1)
    step.take(2, torch.zeros(1, 2))
    step.take(5, torch.zeros(1, 2))
    assert step.state is StepState.SENT


def test_more_than_was_asked_for_is_refused() -> None:
    with pytest.raises(ProtocolError, match="more tokens"):
        sent(keep=1).take(3, torch.zeros(2, 2))


def test_a_step_that_was_lost_goes_again_from_the_beginning() -> None:
    step = sent(keep=2)
    step.take(3, torch.zeros(1, 2))
    step.lose()
    assert step.state is StepState.LOST and step.over.is_set()
    step.send(0, 1)
    assert step.state is StepState.SENT and not step.over.is_set()
    step.take(0, torch.ones(2, 2))
    assert step.state is StepState.DONE
    assert torch.equal(step.output(), torch.ones(2, 2))


def test_a_step_whose_own_chain_has_ended_is_done_if_another_brings_its_result() -> None:
    step = sent(keep=1)
    step.lose()
    step.take(3, torch.ones(1, 2))
    assert step.state is StepState.DONE
    assert torch.equal(step.output(), torch.ones(1, 2))
