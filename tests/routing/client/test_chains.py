"""Which way a session goes."""

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import Coordinate, Hop, NodeState, NodeView, SessionShape, Span, fastest_chain
from routing.client.chains import expected_seconds
from routing.errors import BlocksNotCovered, CacheFull
from routing.settings import LINK_HANDLING_SECONDS
from tests.routing.nodes import node, swarm

BLOCKS = 6


def route(*nodes: NodeView, tokens: int = 10, hop: float = 0.01, excluded: tuple[str, ...] = ()) -> list[str]:
    placed = [replace(each, coordinate=Coordinate(height=hop, error=0.1)) for each in nodes]
    chain = fastest_chain(swarm(*placed), BLOCKS, SessionShape(0, tokens), lambda _: hop, excluded)
    return [f"{hop.node.peer_id} {hop.span}" for hop in chain]


def test_a_chain_covers_every_block_once_and_in_order() -> None:
    assert route(node("b", 2, 4), node("a", 0, 2), node("c", 4, 6)) == ["a 0:2", "b 2:4", "c 4:6"]


def test_overlapping_nodes_leave_a_block_to_the_first_that_hosts_it() -> None:
    assert route(node("a", 0, 4), node("b", 2, 6)) == ["a 0:4", "b 4:6"]


def test_one_slow_hop_less_beats_faster_blocks() -> None:
    whole = node("whole", 0, 6, decode_seconds=0.002)
    assert route(whole, node("a", 0, 3), node("b", 3, 6), hop=0.1) == ["whole 0:6"]
    assert route(whole, node("a", 0, 3), node("b", 3, 6), hop=0.001) == ["a 0:3", "b 3:6"]


def test_a_full_node_is_passed_by() -> None:
    assert route(node("a", 0, 6, free_tokens=59), node("b", 0, 6, decode_seconds=1.0)) == ["b 0:6"]


def test_a_node_needs_room_only_for_the_blocks_it_processes() -> None:
    assert route(node("a", 0, 4), node("b", 2, 6, free_tokens=20)) == ["a 0:4", "b 4:6"]


def test_missing_blocks_are_named() -> None:
    with pytest.raises(BlocksNotCovered, match="2:4, 5:6"):
        route(node("a", 0, 2), node("b", 4, 5))


def test_nodes_that_are_not_online_do_not_count() -> None:
    with pytest.raises(BlocksNotCovered, match="0:6"):
        route(node("a", 0, 6, state=NodeState.DRAINING))


def test_an_excluded_node_counts_as_missing() -> None:
    with pytest.raises(BlocksNotCovered, match="0:6"):
        route(node("a", 0, 6), excluded=("a",))


def test_a_covered_but_full_swarm_says_so() -> None:
    with pytest.raises(CacheFull, match="full"):
        route(node("a", 0, 6, free_tokens=0))


def test_a_near_node_beats_a_fast_one_far_away() -> None:
    near = node("near", 3, 6, decode_seconds=0.002, coordinate=Coordinate(0.01, 0.0, error=0.1))
    far = node("far", 3, 6, coordinate=Coordinate(0.1, 0.0, error=0.1))
    assert route_as_placed(node("a", 0, 3, coordinate=Coordinate(error=0.1)), near, far) == ["a 0:3", "near 3:6"]


def route_as_placed(*nodes: NodeView) -> list[str]:
    chain = fastest_chain(swarm(*nodes), BLOCKS, SessionShape(0, 10), lambda _: 0.01)
    return [f"{hop.node.peer_id} {hop.span}" for hop in chain]


def test_a_long_prompt_prefers_the_node_that_is_quick_with_prompts() -> None:
    prompts = node("prompts", 0, 6, prefill_seconds=0.001, decode_seconds=0.01)
    answers = node("answers", 0, 6, prefill_seconds=0.1, decode_seconds=0.001)

    def taken(prompt: int, answer: int) -> str:
        session = SessionShape(prompt, prompt + answer)
        (hop,) = fastest_chain(swarm(prompts, answers), BLOCKS, session, lambda _: 0.01)
        return hop.node.peer_id

    assert (taken(1000, 1), taken(1, 1000)) == ("prompts", "answers")


def test_a_long_prompt_goes_round_a_node_with_a_narrow_link() -> None:
    narrow = node("narrow", 0, 6, download_rate=1e4)
    slower = node("slower", 0, 6, decode_seconds=0.01, download_rate=1e8)

    def taken(prompt: int) -> str:
        session = SessionShape(prompt, prompt + 1, token_bytes=1000)
        (hop,) = fastest_chain(swarm(narrow, slower), BLOCKS, session, lambda _: 0.01)
        return hop.node.peer_id

    assert (taken(1), taken(100)) == ("slower", "slower")
    assert fastest_chain(swarm(narrow, slower), BLOCKS, SessionShape(1, 2), lambda _: 0.01)[0].node is narrow


def test_clients_spread_over_near_equal_chains_but_not_to_slow_ones() -> None:
    twins = [node("a", 0, 6), node("b", 0, 6), node("slow", 0, 6, decode_seconds=0.1)]
    rng = random.Random(0)
    taken = {
        fastest_chain(swarm(*twins), BLOCKS, SessionShape(0, 10), lambda _: 0.01, rng=rng)[0].node.peer_id
        for _ in range(50)
    }
    assert taken == {"a", "b"}


spans = st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, BLOCKS)).map(lambda pair: (pair[0], pair[0] + pair[1]))
nodes = st.lists(st.tuples(spans, st.floats(0.001, 1.0), st.integers(0, 100)), max_size=5).map(
    lambda rows: [
        node(str(index), *span, decode_seconds=seconds, free_tokens=free)
        for index, (span, seconds, free) in enumerate(rows)
    ]
)


@given(nodes)
def test_no_other_chain_is_faster(candidates: list[NodeView]) -> None:
    costs = [
        cost
        for count in range(1, len(candidates) + 1)
        for order in itertools.permutations(candidates, count)
        if (cost := _cost_of(order)) is not None
    ]
    try:
        chain = fastest_chain(swarm(*candidates), BLOCKS, SessionShape(0, 10), lambda _: 0.01)
    except (BlocksNotCovered, CacheFull):
        assert not costs
        return
    assert _seconds(chain) == pytest.approx(min(costs))


def _seconds(chain: tuple[Hop, ...]) -> float:
    links = len(chain) + 1
    # Nobody is placed, so every link takes the same; handling is counted once a node.
    delays = links * 0.01 + len(chain) * LINK_HANDLING_SECONDS
    return 10 * (delays + sum(hop.node.decode_seconds * len(hop.span) for hop in chain))


def _cost_of(order: tuple[NodeView, ...]) -> float | None:
    """Time of the chain that visits these nodes in this order, or None if they form no chain."""
    boundary, hops = 0, []
    for candidate in order:
        end = min(candidate.span.end, BLOCKS)
        if not candidate.span.start <= boundary < end or candidate.free_tokens < 10 * (end - boundary):
            return None
        hops.append(Hop(candidate, Span(boundary, end)))
        boundary = end
    return _seconds(tuple(hops)) if boundary == BLOCKS else None


def test_a_node_where_many_prompts_wait_is_left_to_them() -> None:
    busy = node("busy", 0, 6, backlog_tokens=60_000)
    idle = node("idle", 0, 6, prefill_seconds=0.002, decode_seconds=0.002)
    (hop,) = fastest_chain(swarm(busy, idle), BLOCKS, SessionShape(100, 110), lambda _: 0.01)
    assert hop.node is idle


def test_a_faster_node_whose_word_that_it_is_full_is_old_is_asked_if_that_may_pay() -> None:
    full = node("full", 0, 6, free_tokens=0)
    slow = node("slow", 0, 6, decode_seconds=0.01)

    def taken(delay: float, doubted: tuple[str, ...]) -> str:
        session = SessionShape(0, 10)
        (hop,) = fastest_chain(swarm(full, slow), BLOCKS, session, lambda _: delay, doubted=doubted)
        return hop.node.peer_id

    assert taken(0.01, doubted=("full",)) == "full"
    assert taken(0.01, doubted=()) == "slow"
    assert taken(10.0, doubted=("full",)) == "slow"


@given(nodes, st.integers(0, 20), st.integers(1, 20))
def test_the_time_expected_of_hops_is_what_the_search_makes_least(
    candidates: list[NodeView], prompt: int, answer: int
) -> None:
    session = SessionShape(prompt, prompt + answer, token_bytes=10)
    placed = [
        replace(each, coordinate=Coordinate(x=0.01 * index, error=0.1), backlog_tokens=7 * index, upload_rate=1e4)
        for index, each in enumerate(candidates)
    ]

    def seconds(order: tuple[NodeView, ...]) -> float | None:
        boundary, hops = 0, []
        for candidate in order:
            end = min(candidate.span.end, BLOCKS)
            if not candidate.span.start <= boundary < end or candidate.free_tokens < session.max_tokens * (
                end - boundary
            ):
                return None
            hops.append(Hop(candidate, Span(boundary, end)))
            boundary = end
        return expected_seconds(hops, session, lambda _: 0.02) if boundary == BLOCKS else None

    every = (order for count in range(1, len(placed) + 1) for order in itertools.permutations(placed, count))
    times = [time for order in every if (time := seconds(order)) is not None]
    try:
        chain = fastest_chain(swarm(*placed), BLOCKS, session, lambda _: 0.02)
    except (BlocksNotCovered, CacheFull):
        assert not times
        return
    assert expected_seconds(chain, session, lambda _: 0.02) == pytest.approx(min(times))
