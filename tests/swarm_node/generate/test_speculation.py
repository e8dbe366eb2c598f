"""How many guesses are worth verifying, by the times and the luck that an answer has had so far."""

from __future__ import annotations

import pytest

from swarm_node.generate.speculation import Speculation
from swarm_node.settings import DECODE_TOKENS_MAX

MOST = DECODE_TOKENS_MAX - 1
COPY = list(range(MOST))


def timed(step: float, token: float) -> Speculation:
    """After a first step of one token."""
    speculation = Speculation(token)
    speculation.stepped(0, step)
    return speculation


def copying(speculation: Speculation) -> Speculation:
    """All guesses come true for a while."""
    for _ in range(10):
        speculation.came(8, COPY, COPY)
    return speculation


def inventing(speculation: Speculation, match: int = 8) -> Speculation:
    """No guess comes true for a while."""
    for _ in range(60):
        speculation.came(match, [1], [2])
    return speculation


def test_a_text_that_copies_over_a_slow_network_is_verified_as_far_as_a_step_still_counts_as_a_decode() -> None:
    assert copying(timed(step=0.1, token=0.001)).guesses(8, 100) == MOST


def test_no_more_is_verified_than_was_offered() -> None:
    assert copying(timed(step=0.1, token=0.001)).guesses(8, 3) == 3


def test_nothing_is_verified_where_no_guess_comes_true() -> None:
    assert inventing(copying(timed(step=0.1, token=0.0))).guesses(8, MOST) == 0


def test_nothing_is_verified_where_every_token_takes_as_long_as_a_step() -> None:
    assert copying(timed(step=0.01, token=0.01)).guesses(8, MOST) == 0


def test_nothing_is_verified_before_a_step_was_timed() -> None:
    assert Speculation(0.0).guesses(8, MOST) == 0


def test_nothing_is_verified_without_a_match() -> None:
    assert timed(step=0.1, token=0.0).guesses(0, MOST) == 0


def test_fewer_are_verified_where_they_come_true_less_often() -> None:
    sure, unsure = copying(timed(0.1, 0.001)), copying(timed(0.1, 0.001))
    for _ in range(10):
        unsure.came(8, [1, 1], [1, 2])
    assert 0 < unsure.guesses(8, MOST) < sure.guesses(8, MOST)


def test_fewer_are_verified_where_they_take_longer() -> None:
    def after_misses(token: float) -> int:
        speculation = timed(0.02, token)
        for _ in range(10):
            speculation.came(8, [1, 1, 1, 1], [1, 1, 1, 2])
        return speculation.guesses(8, MOST)

    assert 0 < after_misses(0.003) < after_misses(0.0)


def test_luck_after_long_matches_says_nothing_of_short_ones() -> None:
    speculation = inventing(copying(timed(step=0.1, token=0.0)), match=1)
    assert speculation.guesses(1, MOST) == 0
    assert speculation.guesses(8, MOST) == MOST


def test_a_text_that_begins_to_copy_is_noticed_though_nothing_was_verified() -> None:
    speculation = inventing(timed(step=0.1, token=0.001))
    assert speculation.guesses(8, MOST) == 0
    for _ in range(10):
        speculation.came(8, COPY, [COPY[0]])
    assert speculation.guesses(8, MOST) > 0


def test_steps_that_took_longer_than_the_nodes_said_end_it() -> None:
    speculation = copying(timed(step=0.01, token=0.0))
    assert speculation.guesses(8, MOST) == MOST
    for _ in range(4):
        speculation.stepped(MOST, 0.01 * (MOST + 2))
    assert speculation.guesses(8, MOST) == 0


@pytest.mark.parametrize("guesses", [0, MOST])
def test_one_step_that_met_a_failure_changes_nothing(guesses: int) -> None:
    speculation = copying(timed(step=0.1, token=0.001))
    for _ in range(3):
        speculation.stepped(0, 0.1)
        speculation.stepped(MOST, 0.11)
    before = speculation.guesses(8, MOST)
    speculation.stepped(guesses, 30.0)
    assert speculation.guesses(8, MOST) == before
