"""Which blocks a newcomer takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import NodeState, Span, blocks_that_fit, cache_tokens, describe_bytes, newcomer_span
from routing.errors import MemoryTooSmall, UsageError
from tests.routing.nodes import node, swarm


def test_the_first_node_begins_at_block_0() -> None:
    assert newcomer_span(swarm(), 10, 4) == Span(0, 4)


def test_the_next_node_continues_the_chain() -> None:
    assert newcomer_span(swarm(node("a", 0, 4)), 10, 4) == Span(4, 8)


def test_the_last_node_of_a_chain_is_shifted_back_not_cut_short() -> None:
    assert newcomer_span(swarm(node("a", 0, 4), node("b", 4, 8)), 10, 4) == Span(6, 10)


def test_after_a_full_chain_a_second_begins() -> None:
    assert newcomer_span(swarm(node("a", 0, 5), node("b", 5, 10)), 10, 3) == Span(0, 3)


def test_a_node_that_is_still_loading_holds_its_place() -> None:
    assert newcomer_span(swarm(node("a", 0, 4, state=NodeState.LOADING)), 10, 4) == Span(4, 8)


def test_a_node_that_is_leaving_does_not() -> None:
    assert newcomer_span(swarm(node("a", 0, 4, state=NodeState.DRAINING)), 10, 4) == Span(0, 4)


@given(st.integers(1, 40), st.integers(1, 8))
def test_newcomers_one_after_the_other_cover_the_model_before_they_double_a_block(blocks: int, count: int) -> None:
    count = min(count, blocks)
    needed = -(-blocks // count)
    joined: list[Span] = []
    for _ in range(needed):
        joined.append(
            newcomer_span(swarm(*(node(str(i), s.start, s.end) for i, s in enumerate(joined))), blocks, count)
        )
    assert {block for span in joined for block in span.blocks()} == set(range(blocks))


def test_blocks_that_fit_leave_room_for_the_reserved_sessions() -> None:
    assert blocks_that_fit(100, block_bytes=10, session_bytes=5, reserve=2, blocks=32) == 5


def test_no_more_blocks_than_the_model_has() -> None:
    assert blocks_that_fit(10**9, block_bytes=10, session_bytes=5, reserve=2, blocks=32) == 32


def test_a_small_node_serves_one_block_with_one_session() -> None:
    assert blocks_that_fit(15, block_bytes=10, session_bytes=5, reserve=2, blocks=32) == 1


def test_too_little_memory_for_one_block_says_how_much_is_needed() -> None:
    with pytest.raises(MemoryTooSmall, match="--memory 15B or more"):
        blocks_that_fit(14, block_bytes=10, session_bytes=5, reserve=2, blocks=32)


def test_cache_is_what_the_weights_leave() -> None:
    assert cache_tokens(100, block_bytes=10, token_bytes=3, hosted=4) == 20


def test_sizes_are_written_so_that_they_suffice() -> None:
    assert describe_bytes(1023) == "1023B"
    assert describe_bytes(1536) == "1.5KiB"
    assert describe_bytes(1024**3 + 1) == "1.1GiB"


@pytest.mark.parametrize("text", ["", "4", "4:", "a:b", "-1:4", "4:4", "5:4", "1:2:3"])
def test_a_bad_range_of_blocks_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="START:END"):
        Span.parse(text)


def test_a_range_of_blocks_reads_as_it_is_written() -> None:
    assert str(Span.parse("3:7")) == "3:7"
