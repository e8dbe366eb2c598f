"""Going where a session's beginning has been computed before, or not."""

from __future__ import annotations

import pytest

from routing import Hop, NodeView, SessionShape, Span, fastest_chain
from routing.client.chains import expected_seconds
from routing.client.reuse import Served, fastest_with_reuse, shortened
from tests.routing.nodes import node, swarm

BLOCKS = 4
SESSION = SessionShape(prompt_tokens=1000, max_tokens=1100, token_bytes=1000)


def delay(_: NodeView) -> float:
    return 0.01


def way(*nodes: NodeView) -> tuple[Hop, ...]:
    return tuple(Hop(one, one.span) for one in nodes)


def chosen(nodes: list[NodeView], served: list[Served], session: SessionShape = SESSION, excluded: str = "") -> str:
    """The first node of the chain that a session takes."""
    view = swarm(*nodes)
    fastest = fastest_chain(view, BLOCKS, session, delay, {excluded})
    return fastest_with_reuse(fastest, served, view, session, delay, {excluded})[0].node.peer_id


def test_a_session_goes_where_its_beginning_was_if_that_saves_more_than_it_costs() -> None:
    fast, slow = node("fast", 0, 4), node("slow", 0, 4, prefill_seconds=0.002, decode_seconds=0.002)
    # The fast one takes 4.4 s for prompt and answer; the slow one 8 s for the whole prompt and 0.8 s for the answer.
    assert chosen([fast, slow], []) == "fast"
    assert chosen([fast, slow], [Served(way(slow), 960)]) == "slow"
    assert chosen([fast, slow], [Served(way(slow), 320)]) == "fast"
    assert chosen([fast, slow], [Served(way(slow), 960), Served(way(fast), 64)]) == "slow"
    assert chosen([fast, slow], [Served(way(slow), 960), Served(way(fast), 896)]) == "fast"


def test_prompts_ahead_there_count() -> None:
    idle, busy = node("idle", 0, 4), node("busy", 0, 4, backlog_tokens=5_000)
    assert chosen([idle, busy], [Served(way(busy), 960)]) == "idle"


@pytest.mark.parametrize(
    "now",
    [
        {"free_tokens": 4 * 1100 - 1},
        {"span": Span(1, 4)},
    ],
    ids=["full", "moved"],
)
def test_a_chain_that_cannot_serve_the_session_any_more_is_out_of_the_question(now: dict[str, object]) -> None:
    then, other = node("there", 0, 4), node("other", 0, 4, prefill_seconds=0.01)
    assert chosen([node("there", 0, 4), other], [Served(way(then), 960)]) == "there"
    assert chosen([node("there", 0, 4, **now), other], [Served(way(then), 960)]) == "other"


def test_a_chain_of_a_node_that_has_gone_or_failed_is_out_of_the_question() -> None:
    there, other = node("there", 0, 4), node("other", 0, 4, prefill_seconds=0.01)
    assert chosen([other], [Served(way(there), 960)]) == "other"
    assert chosen([there, other], [Served(way(there), 960)], excluded="there") == "other"


def test_a_chain_is_judged_by_its_nodes_as_they_are_now() -> None:
    then = node("there", 0, 4, prefill_seconds=0.0001)
    now = node("there", 0, 4, prefill_seconds=0.1)
    assert chosen([now, node("other", 0, 4)], [Served(way(then), 320)]) == "other"


def test_a_session_that_is_held_in_part_takes_as_long_as_one_that_is_shorter() -> None:
    hops = way(node("a", 0, 2), node("b", 2, 4, download_rate=1e6))
    held, short = shortened(SESSION, 900), SessionShape(100, 200, 1000)
    assert held == short
    assert expected_seconds(hops, held, delay) == expected_seconds(hops, short, delay)
    assert shortened(SESSION, 5000).prompt_tokens == 1, "its last token is sent in any case"
