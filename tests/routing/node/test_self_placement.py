"""Which blocks a node chooses for itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from routing import Coordinate, NodeState, NodeView, Snapshot, Span
from routing.node.moves import Move, Stay
from routing.node.self_placement import Model, next_move, span_to_join, whose_turn
from routing.settings import CALM_SECONDS, TURN_SECONDS
from tests.routing.nodes import node, swarm

MODEL = Model(blocks=10, session_tokens=5)
"""A block takes 10 bytes and the cache of a session in it 5, so with room for four sessions each 30."""
LONG_AGO = -10 * CALM_SECONDS


def member(name: str, start: int, end: int, blocks: int | None = None, **changes: Any) -> NodeView:
    """Memory for as many blocks as it hosts, or for ``blocks``, with four sessions each."""
    memory = 30 * (end - start if blocks is None else blocks)
    return node(name, start, end, **{"block_bytes": 10, "memory_bytes": memory, "joined_at": LONG_AGO} | changes)


def joined(snapshot: Snapshot, blocks: int) -> Span | None:
    return span_to_join(snapshot, member("me", 0, 1, blocks), MODEL)


def moved(
    snapshot: Snapshot, me: NodeView, now: float = 0.0, before: Snapshot | None = None, gone: Collection[str] = ()
) -> Stay | Move:
    """What a node does that saw the same ``before``, if nothing else is told."""
    return next_move(snapshot, before or snapshot, me, MODEL, load_seconds=60, now=now, gone=gone)


def turn_of(*nodes: NodeView, peer_id: str) -> float:
    """A time at which it is this node's turn."""
    return next(epoch * TURN_SECONDS for epoch in range(1000) if whose_turn(nodes, epoch * TURN_SECONDS) == peer_id)


def test_the_first_node_begins_at_block_0() -> None:
    assert joined(swarm(), 4) == Span(0, 4)


def test_the_next_node_continues_the_chain() -> None:
    assert joined(swarm(member("a", 0, 4)), 4) == Span(4, 8)


def test_the_last_node_of_a_chain_is_shifted_back_not_cut_short() -> None:
    assert joined(swarm(member("a", 0, 4), member("b", 4, 8)), 4) == Span(6, 10)


def test_a_node_that_is_still_loading_holds_its_place() -> None:
    assert joined(swarm(member("a", 0, 4, state=NodeState.LOADING)), 4) == Span(4, 8)


def test_a_node_on_its_way_to_other_blocks_holds_its_place_there() -> None:
    assert joined(swarm(member("a", 0, 4), member("b", 0, 2, target=Span(4, 8))), 2) == Span(8, 10)


def test_a_node_that_is_leaving_does_not() -> None:
    assert joined(swarm(member("a", 0, 4, state=NodeState.DRAINING)), 4) == Span(0, 4)


def test_a_node_too_small_for_a_block_and_a_session_joins_nothing() -> None:
    assert span_to_join(swarm(), member("me", 0, 1, memory_bytes=14), MODEL) is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 10), min_size=1, max_size=12))
def test_newcomers_one_after_the_other_cover_the_model_before_they_double_a_block(counts: list[int]) -> None:
    nodes: list[NodeView] = []
    for index, count in enumerate(counts):
        span = joined(swarm(*nodes), count)
        assert span is not None
        nodes.append(member(f"node{index}", span.start, span.end))
    hosted = swarm(*nodes).replicas(MODEL.blocks)
    held = sum(len(node.span) for node in nodes)
    assert (0 not in hosted) == (held >= MODEL.blocks)
    if held <= MODEL.blocks:
        assert max(hosted) == 1


def test_a_node_whose_owner_chose_its_blocks_never_moves() -> None:
    me = member("a", 0, 5, pinned=True)
    assert isinstance(moved(swarm(me), me), Stay)


def test_when_blocks_are_missing_a_spare_node_goes_there_at_once_and_says_why() -> None:
    nodes = (member("a", 0, 5), member("b", 0, 5))
    moves = [moved(swarm(*nodes), me) for me in nodes]

    (move,) = [move for move in moves if isinstance(move, Move)]
    assert (move.span, move.rescues, move.uncovers) == (Span(5, 10), True, False)
    assert move.reason == "5:10 instead of 0:5: blocks are missing"


def test_one_late_announcement_moves_nobody() -> None:
    nodes = (member("a", 0, 5), member("b", 0, 5))
    before = swarm(*nodes, member("late", 5, 10))
    assert all(moved(swarm(*nodes), me, before=before) == Stay("blocks seem missing") for me in nodes)


def test_when_the_only_host_of_blocks_does_not_answer_another_look_is_not_waited_for() -> None:
    nodes = (member("a", 0, 5), member("b", 0, 5))
    seen = swarm(*nodes, member("silent", 5, 10))
    moves = [moved(seen, me, gone={"silent"}) for me in nodes]

    assert [move.span for move in moves if isinstance(move, Move)] == [Span(5, 10)]


def test_a_node_that_does_not_answer_is_not_waited_for_where_others_host_its_blocks() -> None:
    nodes = (member("a", 0, 5), member("b", 5, 10))
    assert isinstance(moved(swarm(*nodes, member("silent", 5, 10)), nodes[0], gone={"silent"}), Stay)


def test_nobody_starts_afresh_before_the_records_of_those_that_do_not_answer_have_faded() -> None:
    def tight(name: str, start: int, end: int) -> NodeView:
        """Memory for no more blocks than these, with one session each."""
        return member(name, start, end, memory_bytes=15 * (end - start))

    nodes = (tight("a", 0, 4), tight("b", 2, 6), tight("c", 6, 8))
    seen = swarm(*nodes, tight("silent", 8, 10))

    assert all(isinstance(moved(seen, me, gone={"silent"}), Stay) for me in nodes)
    afresh = [moved(swarm(*nodes), me) for me in nodes]
    assert any(isinstance(move, Move) and move.uncovers for move in afresh)


def test_blocks_that_somebody_is_loading_are_not_missing() -> None:
    nodes = (member("a", 0, 5), member("b", 0, 5), member("c", 5, 10, state=NodeState.LOADING))
    assert all(isinstance(moved(swarm(*nodes), me), Stay) for me in nodes[:2])


def crowded() -> tuple[NodeView, ...]:
    """Two of three nodes on the first half, and the third, on the second, is slow."""
    return (
        member("a", 0, 5),
        member("b", 0, 5),
        member("c", 5, 10, prefill_seconds=0.01, decode_seconds=0.01),
    )


def test_a_node_moves_for_speed_when_it_is_its_turn() -> None:
    nodes = crowded()
    now = turn_of(*nodes, peer_id="b")
    move = moved(swarm(*nodes), nodes[1], now)
    assert isinstance(move, Move)
    assert move.span == Span(5, 10)
    assert "faster" in move.reason


def test_the_others_wait_for_theirs() -> None:
    nodes = crowded()
    assert isinstance(moved(swarm(*nodes), nodes[0], turn_of(*nodes, peer_id="b")), Stay)


def test_nobody_moves_for_speed_while_many_are_joining() -> None:
    nodes = crowded()
    now = turn_of(*nodes, peer_id="b")
    fresh = (*nodes[:2], member("c", 5, 10, prefill_seconds=0.01, decode_seconds=0.01, joined_at=now - 1))
    assert moved(swarm(*fresh), fresh[1], now) == Stay("the swarm is growing")


def test_turns_go_round_so_that_each_comes_to_it() -> None:
    nodes = tuple(member(f"node{number}", 0, 5) for number in range(5))
    turns = Counter(whose_turn(nodes, epoch * TURN_SECONDS) for epoch in range(500))
    assert set(turns) == {one.peer_id for one in nodes}
    assert max(turns.values()) < 2 * min(turns.values())


def test_a_node_far_from_all_others_counts_as_slow() -> None:
    here = Coordinate(error=0.1)
    far = Coordinate(x=1.0, error=0.1)
    nodes = (
        member("a", 0, 5, coordinate=here),
        member("b", 0, 5, coordinate=here),
        member("c", 5, 10, coordinate=far),
    )
    move = moved(swarm(*nodes), nodes[1], turn_of(*nodes, peer_id="b"))
    assert isinstance(move, Move)
    assert move.span == Span(5, 10)
