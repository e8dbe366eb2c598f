"""What servers do together when blocks are missing."""

from __future__ import annotations

import random
import time
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.node.moves import Placed, uncovers
from routing.node.rescue import Rescue, rescue
from routing.plan.cluster import ModelShape, Server, hosted_blocks
from routing.plan.gbp_cr import gbp_cr
from routing.span import Span
from tests.routing.clusters import placed_clusters

MODEL = ModelShape(blocks=6, block_bytes=1, cache_bytes=0.5)


def server(name: str, blocks: int, jobs: int = 1) -> Server:
    """Holds so many blocks with the cache of so many jobs on each."""
    return Server(name, blocks * (MODEL.block_bytes + jobs * MODEL.cache_bytes), 0.1, 1.0)


def placed(*pairs: tuple[Server, Span | None]) -> Placed:
    return Placed(tuple(one for one, _ in pairs), MODEL, tuple(span for _, span in pairs), 0.01)


def after(swarm: Placed, moves: dict[int, Span]) -> Placed:
    for index, span in moves.items():
        swarm = swarm.with_span(index, span)
    return swarm


def test_nobody_moves_while_every_block_is_hosted() -> None:
    swarm = placed((server("a", 3), Span(0, 3)), (server("b", 3), Span(3, 6)))

    assert swarm.missing() == frozenset()
    assert rescue(swarm) == Rescue({}, False)


def test_a_server_whose_blocks_another_hosts_too_goes_to_those_that_are_missing() -> None:
    swarm = placed((server("a", 3), Span(0, 3)), (server("b", 3), Span(0, 3)))
    found = rescue(swarm)

    assert swarm.missing() == {3, 4, 5}
    assert list(found.moves.values()) == [Span(3, 6)] and not found.last_resort


def test_servers_with_cache_to_spare_host_more_blocks_where_nobody_can_leave() -> None:
    swarm = placed((server("a", 2, jobs=4), Span(0, 2)), (server("b", 2, jobs=4), Span(4, 6)))

    assert rescue(swarm) in (Rescue({0: Span(0, 4)}, False), Rescue({1: Span(2, 6)}, False))


def test_a_server_keeps_the_cache_that_no_missing_block_asks_for() -> None:
    swarm = placed((server("a", 4), Span(0, 2)), (server("b", 3), Span(3, 6)))

    assert rescue(swarm).moves == {0: Span(0, 3)}


def test_rather_more_servers_move_than_that_one_gives_up_cache() -> None:
    swarm = placed(*((server(name, 2, jobs=4), Span(0, 2)) for name in "abc"))

    assert sorted(map(str, rescue(swarm).moves.values())) == ["2:4", "4:6"]


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_the_one_that_can_host_all_that_is_missing_goes_though_it_has_less_cache_then(names: str) -> None:
    large, small = names
    swarm = placed((server(large, 4), Span(0, 2)), (server(small, 2), Span(0, 2)))

    assert rescue(swarm) == Rescue({0: Span(2, 6)}, False)


def test_all_start_afresh_where_nobody_can_leave_and_nobody_hold_more() -> None:
    swarm = placed((server("a", 2), Span(0, 2)), (server("b", 2), Span(1, 3)), (server("c", 2), Span(3, 5)))
    found = rescue(swarm)

    assert found.last_resort
    assert after(swarm, found.moves).missing() == frozenset()


def test_what_memory_allows_is_hosted_where_it_does_not_suffice() -> None:
    swarm = placed((server("a", 2), Span(0, 2)), (server("b", 2), Span(0, 2)))
    found = rescue(swarm)

    assert not found.last_resort
    assert len(after(swarm, found.moves).missing()) == 2
    assert rescue(after(swarm, found.moves)).moves == {}


def test_only_the_movable_move() -> None:
    swarm = placed((server("a", 3), Span(0, 3)), (server("b", 3), Span(0, 3)))

    assert rescue(swarm, movable=[1]).moves == {1: Span(3, 6)}
    assert rescue(swarm, movable=[]).moves == {}


def test_a_fresh_start_is_gone_on_with_when_some_have_begun_it() -> None:
    swarm = placed((server("a", 2), Span(0, 2)), (server("b", 2), Span(1, 3)), (server("c", 2), Span(3, 5)))
    whole = rescue(swarm)
    first, *others = sorted(whole.moves)
    later = rescue(swarm.with_span(first, whole.moves[first]), movable={0, 1, 2} - {first}, loading=[first])

    assert whole.last_resort
    assert later.moves == {index: whole.moves[index] for index in others}


@settings(max_examples=150, deadline=None)
@given(placed_clusters())
def test_a_rescue_uncovers_nothing_in_whatever_order_servers_go_unless_all_start_afresh(
    cluster: tuple[list[Server], ModelShape, list[Span | None]],
) -> None:
    servers, model, spans = cluster
    swarm = Placed(tuple(servers), model, tuple(spans), 0.1)
    found = rescue(swarm)
    covered = set(range(model.blocks)) - swarm.missing()
    if found.last_resort:
        return
    for order in list(permutations(found.moves))[:24]:
        moving = swarm
        for index in order:
            assert not uncovers(moving, index, found.moves[index])
            moving = moving.with_span(index, found.moves[index])
        # While they load, servers serve only what they keep.
        kept = [
            set(span.blocks()) & set(found.moves.get(index, span).blocks()) if span else set()
            for index, span in enumerate(spans)
        ]
        assert covered <= set().union(*kept)


@settings(max_examples=150, deadline=None)
@given(placed_clusters())
def test_all_blocks_are_hosted_after_a_rescue_if_memory_suffices(
    cluster: tuple[list[Server], ModelShape, list[Span | None]],
) -> None:
    servers, model, spans = cluster
    swarm = Placed(tuple(servers), model, tuple(spans), 0.1)
    found = rescue(swarm)
    left = after(swarm, found.moves).missing()

    assert left <= swarm.missing()
    if gbp_cr(servers, model, 1).chains:
        assert not left
    for index, span in found.moves.items():
        assert span.end <= model.blocks and span != spans[index]
        assert len(span) <= hosted_blocks(servers[index], model, 1)


@settings(max_examples=60, deadline=None)
@given(placed_clusters(), st.randoms(use_true_random=False))
def test_the_order_of_the_servers_does_not_matter(
    cluster: tuple[list[Server], ModelShape, list[Span | None]], draw: random.Random
) -> None:
    servers, model, spans = cluster
    order = list(range(len(servers)))
    draw.shuffle(order)
    swarm = Placed(tuple(servers), model, tuple(spans), 0.1)
    shuffled = Placed(tuple(servers[i] for i in order), model, tuple(spans[i] for i in order), 0.1)

    def by_name(one: Placed) -> dict[str, Span]:
        return {one.servers[index].name: span for index, span in rescue(one).moves.items()}

    assert by_name(swarm) == by_name(shuffled)


@pytest.mark.parametrize("alone", [False, True], ids=["many can leave", "few can leave"])
def test_a_thousand_servers_take_less_than_a_second(alone: bool) -> None:
    model = ModelShape(blocks=126, block_bytes=1, cache_bytes=0.1)
    servers = [Server(f"server{number}", 1.1, 0.1, 0.1) for number in range(1000)]
    spans: list[Span | None] = [Span(number % 126, number % 126 + 1) for number in range(1000)]
    if alone:
        spans = [span if number < 126 else Span(0, 1) for number, span in enumerate(spans)]
    spans = [None if span and span.start % 4 == 3 else span for span in spans]
    swarm = Placed(tuple(servers), model, tuple(spans), 0.1)
    begun = time.process_time()
    found = rescue(swarm)

    assert time.process_time() - begun < 1
    assert found.moves and not after(swarm, found.moves).missing()
