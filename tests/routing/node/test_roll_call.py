"""Whom a node asks directly whether they are there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing import NodeView, Span
from routing.node.roll_call import everybody, overdue, whom_to_ask
from tests.routing.nodes import node, swarm

BLOCKS = 6
NOW = 100.0
OVERDUE, FRESH = NOW - 1, NOW + 1
"""When records fade that were made long ago and just now."""


def asked(*nodes: NodeView, me: NodeView | None = None) -> list[str]:
    """Whom the last of the nodes asks, or ``me``."""
    return [one.peer_id for one in overdue(swarm(*nodes), me or nodes[-1], BLOCKS, NOW)]


def test_nobody_is_asked_while_all_announce_themselves_in_time() -> None:
    assert asked(node("a", 0, 3, expires_at=FRESH), node("me", 3, 6)) == []


def test_a_node_is_asked_whose_record_is_overdue_and_whose_blocks_nobody_else_hosts() -> None:
    assert asked(node("a", 0, 3, expires_at=OVERDUE), node("me", 3, 6)) == ["a"]


def test_a_node_is_not_asked_where_others_host_its_blocks_or_will() -> None:
    others = node("b", 0, 2, expires_at=FRESH), node("c", 4, 5, expires_at=FRESH, target=Span(2, 4))
    assert asked(node("a", 0, 3, expires_at=OVERDUE), *others, node("me", 3, 6)) == []


def test_where_all_that_host_a_block_are_overdue_all_are_asked_first_those_of_whom_most_depends() -> None:
    late = [node(name, 0, end, expires_at=OVERDUE) for name, end in (("a", 1), ("b", 1), ("c", 3))]
    assert asked(*late, node("me", 3, 6)) == ["c", "a", "b"]


def test_what_is_missing_in_any_case_is_no_reason_to_ask() -> None:
    assert asked(node("a", 0, 2, expires_at=OVERDUE), node("b", 0, 2, expires_at=FRESH), node("me", 3, 6)) == []


def test_a_node_that_would_not_move_for_anybody_asks_nobody() -> None:
    assert asked(node("a", 0, 3, expires_at=OVERDUE), me=node("me", 3, 6, pinned=True)) == []


def test_in_the_end_everybody_is_asked_first_those_whose_blocks_the_fewest_host() -> None:
    me = node("me", 0, 3)
    others = (node("a", 0, 3, expires_at=FRESH), node("b", 3, 6, expires_at=FRESH), node("c", 0, 3, expires_at=FRESH))
    assert [one.peer_id for one in everybody(swarm(*others, me), me, BLOCKS)] == ["b", "a", "c"]


claims = st.lists(
    st.none() | st.tuples(st.integers(0, 7), st.integers(1, 4)).map(lambda pair: Span(pair[0], sum(pair))), max_size=8
)


@given(claims, st.sets(st.integers(0, 7)), st.sets(st.integers(0, 7)))
def test_whether_others_are_gone_changes_nothing_about_which_blocks_are_missing(
    claims: list[Span | None], doubted: set[int], gone: set[int]
) -> None:
    doubted = {index for index in doubted if index < len(claims)}
    found = whom_to_ask(claims, BLOCKS, doubted)
    unasked = gone & doubted - set(found)

    assert set(found) <= doubted and len(found) == len(set(found))
    assert hosted(claims) == hosted([None if index in unasked else claim for index, claim in enumerate(claims)])


def hosted(claims: list[Span | None]) -> set[int]:
    return {block for claim in claims if claim for block in claim.blocks() if block < BLOCKS}
