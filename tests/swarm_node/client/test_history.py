"""What a client remembers of a sequence."""

import torch

from swarm_node.client.session import History


def states(*values: float) -> torch.Tensor:
    """One token for each value, two numbers wide."""
    return torch.tensor([[value, -value] for value in values], dtype=torch.float32)


def test_what_was_appended_can_be_replayed() -> None:
    history = History()
    for value in range(200):
        history.append(states(value))
    assert torch.equal(history.since(0), states(*range(200)))
    assert torch.equal(history.since(198), states(198, 199))


def test_cropping_forgets_the_end() -> None:
    history = History()
    history.append(states(1, 2, 3))
    history.crop(1)
    history.append(states(4))
    assert torch.equal(history.since(0), states(1, 4))


def test_the_common_prefix_ends_at_the_first_difference() -> None:
    history = History()
    history.append(states(1, 2, 3))
    assert history.common_prefix(states(1, 2, 4, 5)) == 2
    assert history.common_prefix(states(1, 2, 3, 4)) == 3
    assert history.common_prefix(states(9)) == 0
    assert history.common_prefix(states(1, 2)) == 2


def test_an_empty_history_shares_nothing() -> None:
    assert History().common_prefix(states(1)) == 0
