"""The event loop: textbook queues, order, times of jobs, figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from routing.errors import ClusterInvalid
from routing.plan.cluster import Chain, Link
from routing.plan.hardware import BlockTime
from routing.plan.response_time import response_time_bounds
from routing.simulation import (
    Job,
    ServerTime,
    SimulationResult,
    fixed_chain_policy,
    mean_servers,
    poisson_jobs,
    simulate,
    trace_jobs,
)
from routing.span import Span
from tests.routing.simulation.clusters import chain_server, jobs_at, one_block_chains, rng, run
from tests.routing.simulation.test_workload import TRACE


def erlang_c_response(rate: float, seconds: float, servers: int) -> float:
    """Mean response time of M/M/c."""
    offered = rate * seconds
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    waiting = last / (sum(offered**n / math.factorial(n) for n in range(servers)) + last)
    return waiting * seconds / (servers - offered) + seconds


@pytest.mark.parametrize(("rate", "capacity"), [(0.35, 1), (1.2, 3), (4.0, 10)])
def test_one_chain_is_the_textbook_queue(rate: float, capacity: int) -> None:
    servers, chains = one_block_chains((2.0, capacity))
    result = run(fixed_chain_policy("jffc", chains), servers, poisson_jobs(rate, 60_000, rng(1)))
    response = result.summary(warm_up=0.05).response
    assert response.mean == pytest.approx(erlang_c_response(rate, 2.0, capacity), abs=1.5 * response.mean_interval)
    assert response.mean_interval < 0.1 * response.mean


@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
def test_the_fastest_free_chain_lies_between_the_bounds(load: float) -> None:
    servers, chains = one_block_chains((1.0, 2), (2.0, 3), (5.0, 4))
    rate = load * sum(chain.rate for chain in chains)
    result = run(fixed_chain_policy("jffc", chains), servers, poisson_jobs(rate, 60_000, rng(2)))
    response = result.summary(warm_up=0.05).response
    bounds = response_time_bounds(chains, rate)
    assert bounds.lower - 1.5 * response.mean_interval <= response.mean <= bounds.upper + 1.5 * response.mean_interval
    assert bounds.lower < bounds.upper


def test_waiting_jobs_start_in_order_of_arrival() -> None:
    servers, chains = one_block_chains((1.0, 2), (3.0, 1))
    result = run(fixed_chain_policy("jffc", chains), servers, poisson_jobs(3.0, 500, rng()))
    assert (np.diff(result.start) >= 0).all()
    assert (result.wait > 0).any()


def test_a_job_that_ends_makes_room_for_one_that_arrives_at_the_same_moment() -> None:
    servers, chains = one_block_chains((1.0, 1), (5.0, 1))
    result = run(fixed_chain_policy("jffc", chains), servers, jobs_at(0.0, 1.0, 1.5, 1.75))
    assert result.start.tolist() == [0, 1, 1.5, 2]
    assert result.end.tolist() == [1, 2, 6.5, 3]


def test_the_time_of_a_job_follows_from_its_lengths_on_every_link() -> None:
    times = [
        ServerTime(0.5, 0.01, BlockTime(0.001, 1e-4, 2e-3)),
        ServerTime(0.2, 0.02, BlockTime(0.002, 2e-4, 4e-3)),
    ]
    servers = [chain_server("a", 1.0), chain_server("b", 1.0)]
    chain = Chain((Link(0, Span(0, 3)), Link(1, Span(3, 5))), 1.0, 1)
    jobs = trace_jobs(TRACE, limit=1)
    result = simulate(fixed_chain_policy("jffc", [chain]), jobs, times, rng())
    expected = 0.5 + 0.01 * 10 + 3 * (0.001 + 0.4808 + 2e-3 * 9) + 0.2 + 0.02 * 10 + 2 * (0.002 + 0.9616 + 4e-3 * 9)
    assert result.service.tolist() == pytest.approx([expected])
    planned = mean_servers(servers, times, 4808, 10)
    assert planned[0].job_seconds(3) + planned[1].job_seconds(2) == pytest.approx(expected)
    twice = simulate(fixed_chain_policy("jffc", [chain]), [Job(0, 2.0, 4808, 10)], times, rng())
    assert twice.service.tolist() == pytest.approx([2 * expected])


def test_a_summary_leaves_out_the_warm_up_and_knows_mean_median_and_tails() -> None:
    end = np.concatenate((np.full(100, 1000.0), np.arange(1, 101)))
    result = SimulationResult(np.zeros(200), np.full(200, 0.5), end, ())
    summary = result.summary(warm_up=0.5)
    assert summary.jobs == 100
    assert (summary.response.mean, summary.response.median) == (50.5, 50.5)
    assert summary.response.p95 == pytest.approx(95.05)
    assert summary.response.p99 == pytest.approx(99.01)
    assert summary.wait.mean == 0.5
    assert summary.service.mean == 50.0
    assert summary.wait.mean_interval == 0.0
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(ClusterInvalid, match="warm-up"):
            result.summary(warm_up=share)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    source = rng(3)
    covered = 0
    for _ in range(200):
        values = source.exponential(1.0, 400)
        zeros = np.zeros(400)
        response = SimulationResult(zeros, zeros, values, ()).summary().response
        covered += abs(response.mean - 1) <= response.mean_interval
    assert 180 <= covered <= 198


def test_no_jobs_and_jobs_out_of_order_are_refused() -> None:
    servers, chains = one_block_chains((1.0, 1))
    with pytest.raises(ClusterInvalid, match="no jobs"):
        run(fixed_chain_policy("jffc", chains), servers, [])
    with pytest.raises(ClusterInvalid, match="order of arrival"):
        run(fixed_chain_policy("jffc", chains), servers, jobs_at(1.0, 0.5))
