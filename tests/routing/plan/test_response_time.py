"""Bounds on the mean response time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import Overloaded
from routing.plan.response_time import response_time_bounds
from tests.routing.clusters import chain


def mean_response_mmc(rate: float, service_seconds: float, slots: int) -> float:
    """Erlang's formula for M/M/c, through the stable recursion of the blocking probability."""
    offered = rate * service_seconds
    blocked = 1.0
    for busy in range(1, slots + 1):
        blocked = offered * blocked / (busy + offered * blocked)
    load = offered / slots
    waits = blocked / (1 - load + load * blocked)
    return service_seconds + waits * service_seconds / (slots * (1 - load))


def test_one_slot_is_the_textbooks_single_server_queue() -> None:
    bounds = response_time_bounds([chain(2)], arrival_rate=0.3)

    assert bounds.lower == bounds.upper == pytest.approx(1 / (1 / 2 - 0.3))


@pytest.mark.parametrize(("slots", "load"), [(2, 0.1), (3, 0.9), (40, 0.7), (5_000, 0.95)])
def test_equal_slots_are_the_textbooks_many_server_queue(slots, load) -> None:
    rate = load * slots / 2.5
    bounds = response_time_bounds([chain(2.5, slots)], rate)

    assert bounds.lower == pytest.approx(mean_response_mmc(rate, 2.5, slots), rel=1e-9)
    assert bounds.upper == pytest.approx(bounds.lower, rel=1e-12)


def test_a_fast_and_a_slow_slot_by_hand() -> None:
    """φ by hand for μ = 1 and 1/2, λ = 1/2: lower has death rates 1, 3/2, upper 1/2, 3/2."""
    bounds = response_time_bounds([chain(1), chain(2)], arrival_rate=0.5)

    def by_hand(first: float) -> float:
        load = 0.5 / 1.5
        one, two = 0.5 / first, 0.5 / first * load
        total = 1 + one + two / (1 - load)
        return (one + two * (load / (1 - load) ** 2 + 2 / (1 - load))) / total / 0.5

    assert bounds.lower == pytest.approx(by_hand(1.0))
    assert bounds.upper == pytest.approx(by_hand(0.5))


def test_a_hundred_thousand_slots_do_not_overflow() -> None:
    bounds = response_time_bounds([chain(1, 50_000), chain(9, 50_000)], arrival_rate=50_000)

    assert 1 < bounds.lower < bounds.upper < 9


def test_the_order_in_which_chains_are_given_does_not_matter() -> None:
    chains = [chain(3, 2), chain(1, 4), chain(2, 1)]

    assert response_time_bounds(chains, 1.0) == response_time_bounds(chains[::-1], 1.0)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.integers(1, 20)), min_size=1, max_size=6), st.floats(0.01, 0.99))
def test_the_bounds_enclose_the_fastest_service_and_each_other(described, load) -> None:
    chains = [chain(seconds, capacity) for seconds, capacity in described]
    bounds = response_time_bounds(chains, load * sum(one.rate for one in chains))

    fastest = min(one.service_seconds for one in chains)
    assert fastest * (1 - 1e-9) <= bounds.lower <= bounds.upper * (1 + 1e-9)
    assert math.isfinite(bounds.upper)


def test_jobs_that_arrive_as_fast_as_all_chains_serve_are_too_many() -> None:
    with pytest.raises(Overloaded, match=r"arrive at 1/s but all chains together serve 1/s"):
        response_time_bounds([chain(2, 2)], arrival_rate=1)
