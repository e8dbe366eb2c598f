"""What a session with states can be taken back to."""

from __future__ import annotations

import pytest
import torch

from swarm_node.compute.cache import SequenceCache
from swarm_node.compute.settings import REPLAYED_TOKENS
from swarm_node.compute.states import SessionStates

NAME = (0, "conv", 0)


def cache_after(*steps: int) -> SequenceCache:
    """Each step feeds its number so often, and its state is the sum of all that was fed."""
    cache = SequenceCache(1000, reusable=False, states=SessionStates())
    for number, tokens in enumerate(steps, start=1):
        feed(cache, torch.full((tokens, 1), float(number)))
    return cache


def feed(cache: SequenceCache, hidden: torch.Tensor) -> None:
    replay = None if cache.states is None else cache.states.replay
    fed = hidden if replay is None else torch.cat([replay, hidden])
    cache.stepped(fed, {NAME: torch.tensor(state(cache) + float(fed.sum()))})


def state(cache: SequenceCache) -> float:
    held = None if cache.states is None else cache.states.get(NAME)
    return 0.0 if held is None else float(held)


def test_what_is_left_of_a_step_goes_ahead_of_the_next() -> None:
    cache = cache_after(5, 4)
    cache.roll_back(7)
    assert (cache.length, cache.written, cache.replayed, state(cache)) == (7, 5, 2, 5)
    feed(cache, torch.full((1, 1), 100.0))
    assert (cache.length, cache.written, cache.replayed, state(cache)) == (8, 8, 0, 5 + 2 * 2 + 100)


def test_it_can_be_taken_back_further_and_further_to_the_step_s_begin() -> None:
    cache = cache_after(5, 4)
    for length in (8, 6, 5):
        cache.roll_back(length)
        assert (cache.length, cache.written) == (length, 5)
    assert not cache.reaches(4) and not cache.reaches(6)


def test_it_can_always_begin_again() -> None:
    cache = cache_after(5, 4)
    cache.roll_back(0)
    assert (cache.length, state(cache)) == (0, 0)
    feed(cache, torch.ones(3, 1))
    cache.roll_back(1)
    assert (cache.length, cache.written, state(cache)) == (1, 0, 0)


def test_a_step_before_the_last_is_gone() -> None:
    with pytest.raises(ValueError, match="gone"):
        cache_after(5, 4).roll_back(3)


def test_of_a_long_step_only_all_can_be_taken_back() -> None:
    cache = cache_after(5, REPLAYED_TOKENS + 1)
    assert not cache.reaches(6)
    cache.roll_back(5)
    assert state(cache) == 5
