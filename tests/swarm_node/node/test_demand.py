"""How a node estimates what the swarm is asked for."""

import pytest

from swarm_node.node.demand import Demand
from swarm_node.node.settings import DEMAND_SECONDS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_estimates_of_all_nodes_add_up_to_the_jobs_that_come() -> None:
    clock = Clock()
    first, second = Demand(10, clock), Demand(10, clock)
    for _ in range(1000):
        clock.now += 2.0
        first.opened(4)
        second.opened(6)
    assert first.job_rate + second.job_rate == pytest.approx(0.5, rel=0.05)


def test_a_young_node_does_not_take_a_short_time_for_a_quiet_one() -> None:
    clock = Clock()
    demand = Demand(10, clock)
    for _ in range(10):
        clock.now += 2.0
        demand.opened(10)
    assert demand.job_rate == pytest.approx(0.5, rel=0.1)


def test_an_evening_is_forgotten_by_the_morning() -> None:
    clock = Clock()
    demand = Demand(10, clock)
    demand.opened(10)
    demand.ended(100, 20)
    assert (demand.prompt_tokens, demand.new_tokens) == (100, 20)
    clock.now += 20 * DEMAND_SECONDS
    assert demand.job_rate < 1e-6
    assert (demand.prompt_tokens, demand.new_tokens) == (0, 0)
