"""The choice of c."""

import math
import random

import pytest

from routing.errors import ClusterInvalid, MemoryTooSmall, Overloaded
from routing.plan.cluster import ModelShape, Server
from routing.plan.gbp_cr import gbp_cr
from routing.plan.gca import gca
from routing.plan.reserve import choose_reserve, reserves
from routing.plan.response_time import response_time_bounds
from tests.routing.clusters import EXAMPLE_MODEL, EXAMPLE_SERVERS

BLOOM = ModelShape(blocks=70, block_bytes=1.32e9, cache_bytes=0.11e9)


def bloom_cluster(servers: int = 20, fast: int = 4) -> list[Server]:
    """The paper's two kinds of GPU with round-trip times of its order."""
    draw = random.Random(7)
    return [
        Server(f"fast{n}", 40e9, 0.018 + draw.expovariate(50), 0.109)
        if n < fast
        else Server(f"slow{n}", 20e9, 0.018 + draw.expovariate(50), 0.175)
        for n in range(servers)
    ]


def test_the_c_with_the_least_lower_bound_is_chosen_among_all() -> None:
    servers = bloom_cluster()
    plan = choose_reserve(servers, BLOOM, arrival_rate=0.2)

    assert [candidate.reserve for candidate in plan.candidates] == list(range(1, 352))
    bounds = {one.reserve: one.bounds for one in plan.candidates if one.bounds is not None}
    assert plan.bounds == bounds[plan.reserve]
    assert plan.bounds.lower == min(bound.lower for bound in bounds.values())
    for reserve in (1, 7, 12, 24):
        chains = gca(servers, BLOOM, gbp_cr(servers, BLOOM, reserve).spans)
        assert bounds[reserve] == response_time_bounds(chains, 0.2)


def test_more_arrivals_call_for_more_reserve() -> None:
    servers = bloom_cluster()

    assert choose_reserve(servers, BLOOM, 0.05).reserve < choose_reserve(servers, BLOOM, 1.0).reserve


def test_stopping_early_leaves_servers_idle_that_the_rate_does_not_need() -> None:
    servers = bloom_cluster()
    thrifty = choose_reserve(servers, BLOOM, 0.2, stop_early=True)

    assert sum(span is not None for span in thrifty.placement.spans) < 20
    assert sum(span is not None for span in choose_reserve(servers, BLOOM, 0.2).placement.spans) == 20


def test_the_surrogate_counts_slots_on_disjoint_chains() -> None:
    plan = choose_reserve(EXAMPLE_SERVERS, EXAMPLE_MODEL, arrival_rate=0.4, candidates=[1, 2])

    # λ/ρ̄ = 0.57 needs both chains for c = 1; for c = 2 one chain serves 2/3.05 jobs a second.
    assert [candidate.surrogate for candidate in plan.candidates] == [2, 2]
    assert [
        candidate.surrogate
        for candidate in choose_reserve(EXAMPLE_SERVERS, EXAMPLE_MODEL, arrival_rate=4, candidates=[1]).candidates
    ] == [None]


def test_reserves_end_where_the_largest_server_holds_one_block() -> None:
    assert reserves(EXAMPLE_SERVERS, EXAMPLE_MODEL) == range(1, 21)
    assert len(reserves([Server("tiny", 0.5, 1, 1)], EXAMPLE_MODEL)) == 0


def test_too_little_memory_is_told_in_blocks() -> None:
    with pytest.raises(MemoryTooSmall, match="hold 47 of 70 blocks with cache for 1 job each; add memory for 23 more"):
        choose_reserve([Server("fast", 40e9, 0.02, 0.1), Server("slow", 30e9, 0.02, 0.1)], BLOOM, 0.2)


def test_a_server_without_room_for_one_block_is_told_too() -> None:
    with pytest.raises(MemoryTooSmall, match="hold 0 of 3 blocks"):
        choose_reserve([Server("tiny", 1.05, 1, 1)], EXAMPLE_MODEL, 1)


def test_more_jobs_than_any_reserve_can_serve_are_told_with_the_rate() -> None:
    with pytest.raises(Overloaded, match=r"arrive at 50/s but all chains together serve at most 4\.\d+/s"):
        choose_reserve(EXAMPLE_SERVERS, EXAMPLE_MODEL, arrival_rate=50)


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ([], "has no servers"),
        ([Server("a", 2, 1, 1), Server("a", 3, 1, 1)], "two servers are named a"),
        ([Server("a", 1e9, 1, 1)], "check the units"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(servers, message) -> None:
    with pytest.raises(ClusterInvalid, match=message):
        choose_reserve(servers, EXAMPLE_MODEL, 1)


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_a_rate_that_cannot_be_is_refused(rate) -> None:
    with pytest.raises(ClusterInvalid, match="arrival rate"):
        choose_reserve(EXAMPLE_SERVERS, EXAMPLE_MODEL, rate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Server("a", 0, 1, 1), "server a: memory_bytes is 0"),
        (lambda: Server("a", -5, 1, 1), "server a: memory_bytes is -5"),
        (lambda: Server("a", math.nan, 1, 1), "server a: memory_bytes is nan"),
        (lambda: Server("a", 1, -1, 1), "server a: comm_seconds is -1"),
        (lambda: Server("a", 1, 1, math.inf), "server a: compute_seconds is inf"),
        (lambda: Server("a", 1, 0, 0), "both 0"),
        (lambda: ModelShape(0, 1, 1), "the model has 0 blocks"),
        (lambda: ModelShape(1_000_000, 1, 1), "the model has 1,000,000 blocks"),
        (lambda: ModelShape(3, 0, 1), "block_bytes is 0"),
        (lambda: ModelShape(3, 1, math.nan), "cache_bytes is nan"),
    ],
)
def test_figures_that_nothing_has_are_refused(make, message) -> None:
    with pytest.raises(ClusterInvalid, match=message):
        make()
