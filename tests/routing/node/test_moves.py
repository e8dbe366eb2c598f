"""When a server moves, and where to."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.errors import CapacityError
from routing.node.moves import Forecast, Move, Placed, Stay, decide, join, uncovers
from routing.plan.cluster import ModelShape, Server
from routing.plan.reserve import Plan, choose_reserve
from routing.span import Span
from tests.routing.clusters import placed_clusters

MODEL = ModelShape(blocks=4, block_bytes=1, cache_bytes=0.5)


def server(name: str, memory: float = 3.0, seconds: float = 1.0) -> Server:
    """Hosts two blocks with the cache of one job on each, unless told otherwise."""
    return Server(name, memory, 0.1, seconds)


def placed(*pairs: tuple[Server, Span | None], rate: float = 0.01) -> Placed:
    return Placed(tuple(one for one, _ in pairs), MODEL, tuple(span for _, span in pairs), rate)


def plan_of(swarm: Placed) -> Plan:
    return choose_reserve(swarm.servers, swarm.model, swarm.arrival_rate, candidates=[1])


def test_a_newcomer_goes_on_where_the_chain_under_construction_ends() -> None:
    assert join(placed((server("a"), Span(0, 2)), (server("b"), None)), 1, reserve=1) == Span(2, 4)
    assert join(placed((server("a", memory=4.5), Span(0, 3)), (server("b"), None)), 1, reserve=1) == Span(2, 4)


def test_once_every_block_is_hosted_a_newcomer_goes_where_it_helps_most() -> None:
    slow_half = placed(
        (server("a", seconds=1.0), Span(0, 2)), (server("b", seconds=9.0), Span(2, 4)), (server("c"), None)
    )
    assert join(slow_half, 2, reserve=1) == Span(2, 4)


def test_a_server_too_small_for_the_reserve_still_serves_one_block_and_one_too_small_for_that_none() -> None:
    assert join(placed((server("small", memory=1.6), None)), 0, reserve=3) == Span(0, 1)
    assert join(placed((server("tiny", memory=1.4), None)), 0, reserve=1) is None


def test_a_server_moves_to_where_it_makes_jobs_faster_and_says_how_much() -> None:
    swarm = placed(
        (server("a", seconds=1.0), Span(0, 2)),
        (server("b", seconds=1.1), Span(0, 2)),
        (server("c", seconds=9.0), Span(2, 4)),
    )
    move = decide(swarm, 1, plan_of(swarm), load_seconds=60)

    assert isinstance(move, Move)
    assert move.span == Span(2, 4)
    assert move.reason == "2:4 instead of 0:2: 82% faster"


def test_nobody_moves_where_the_swarm_is_as_good_as_the_plan() -> None:
    swarm = placed((server("a"), Span(2, 4)), (server("b"), Span(0, 2)))

    assert {type(decide(swarm, index, plan_of(swarm), 60)) for index in (0, 1)} == {Stay}


def test_a_gain_that_does_not_pay_for_the_move_is_left() -> None:
    swarm = placed(
        (server("a", seconds=1.0), Span(0, 2)),
        (server("b", seconds=1.0), Span(0, 2)),
        (server("c", seconds=1.05), Span(2, 4)),
    )
    plan = plan_of(swarm)

    assert isinstance(decide(swarm, 1, plan, load_seconds=60), Move)
    assert isinstance(decide(swarm, 1, plan, load_seconds=600), Stay)


def test_the_only_host_of_a_block_stays() -> None:
    swarm = placed((server("a", seconds=9.0), Span(0, 2)), (server("b"), Span(2, 4)))

    assert uncovers(swarm, 0, Span(2, 4))
    assert not uncovers(swarm, 0, Span(0, 4))
    assert isinstance(decide(swarm, 0, plan_of(swarm), 60), Stay)


def test_blocks_that_nobody_hosts_call_whoever_can_leave() -> None:
    swarm = placed((server("a"), Span(0, 2)), (server("b"), Span(0, 2)))
    move = decide(swarm, 1, plan_of(swarm), 60)

    assert isinstance(move, Move) and move.span == Span(2, 4)


def test_what_works_is_better_than_what_is_fast_in_part() -> None:
    hole = Forecast(1, 1.0, float("inf"))
    overloaded = Forecast(0, 0.2, float("inf"))
    slow, fast = Forecast(0, 0.0, 4.0), Forecast(0, 0.0, 3.0)

    assert sorted([slow, hole, fast, overloaded]) == [fast, slow, overloaded, hole]
    assert fast.gain_over(slow) == pytest.approx(0.25)
    assert slow.gain_over(hole) == overloaded.gain_over(hole) == 1.0
    assert hole.gain_over(slow) == overloaded.gain_over(fast) == 0.0


@settings(max_examples=60, deadline=None)
@given(placed_clusters(), st.floats(0.01, 1.0))
def test_whoever_moves_in_turn_leaves_no_block_behind_and_comes_to_rest(
    cluster: tuple[list[Server], ModelShape, list[Span | None]], rate: float
) -> None:
    servers, model, spans = cluster
    swarm = Placed(tuple(servers), model, tuple(spans), rate)
    try:
        plan = choose_reserve(servers, model, rate)
    except CapacityError:
        plan = None
    at_rest = 0
    for turn in range(20 * len(servers)):
        index = turn % len(servers)
        decision = decide(swarm, index, plan, load_seconds=60)
        at_rest = 0 if isinstance(decision, Move) else at_rest + 1
        if isinstance(decision, Move):
            covered = [block for block, count in enumerate(swarm.replicas()) if count]
            swarm = swarm.with_span(index, decision.span)
            assert all(swarm.replicas()[block] for block in covered)
        if at_rest == len(servers):
            break
    assert at_rest == len(servers)
