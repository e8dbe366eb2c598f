"""What a client makes of a snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import trio

from routing import Coordinate, Hop, NodeView, SessionShape, Snapshot, Span
from routing.errors import BlocksNotCovered, CacheFull
from swarm_node.client.round_trips import RoundTrips
from swarm_node.client.router import Router
from swarm_node.client.settings import ASSUMED_HOP_SECONDS, DOUBT_SECONDS, MAX_PLACES
from swarm_node.settings import RECORD_SECONDS
from swarm_node.wire.settings import PREFIX_KEY_BYTES
from tests.routing.nodes import node

BLOCKS = 4
SHAPE = SessionShape(4, 10)


@dataclass
class Standing:
    need: int
    room: bool


def swarm(*nodes: NodeView) -> Snapshot:
    now = time.time()
    return Snapshot("model", tuple(replace(view, expires_at=now + RECORD_SECONDS - 1) for view in nodes), now)


def full(name: str, start: int, end: int, sessions: int = 1, **changes: object) -> NodeView:
    """A node with room for so many sessions on all of its blocks, none of it free."""
    return node(name, start, end, cache_tokens=10 * (end - start) * sessions, free_tokens=0, **changes)


def with_router(test: Callable[[Router], None]) -> None:
    async def main() -> None:
        test(Router(BLOCKS))

    trio.run(main)


def test_a_session_waits_at_every_node_of_every_chain_that_might_serve_it() -> None:
    nodes = (full("a", 0, 2), full("b", 2, 4), full("whole", 0, 4), full("lone", 1, 2))

    def test(router: Router) -> None:
        places = {hop.node.peer_id: str(hop.span) for hop in router.lines(swarm(*nodes), SHAPE)}
        assert places == {"a": "0:2", "b": "2:4", "whole": "0:4"}

    with_router(test)


def test_a_session_waits_at_the_fastest_nodes_only_where_there_are_very_many() -> None:
    nodes = [full(f"n{number:02}", 0, 4, decode_seconds=0.001 * (1 + number)) for number in range(MAX_PLACES + 9)]

    def test(router: Router) -> None:
        found = [hop.node.peer_id for hop in router.lines(swarm(*reversed(nodes)), SHAPE)]
        assert found == [view.peer_id for view in nodes[:MAX_PLACES]]

    with_router(test)


def test_a_session_that_is_too_long_for_every_chain_waits_nowhere() -> None:
    def test(router: Router) -> None:
        assert router.lines(swarm(full("a", 0, 4)), SessionShape(4, 11)) == ()
        with pytest.raises(BlocksNotCovered, match="0:4"):
            router.lines(swarm(full("a", 0, 4)), SHAPE, left={"a"})

    with_router(test)


def test_in_line_only_a_node_that_has_set_room_aside_counts_or_one_without_a_line() -> None:
    def test(router: Router) -> None:
        a, b = full("a", 0, 2), full("b", 2, 4)
        places = {"a": Standing(20, True), "b": Standing(20, False)}
        with pytest.raises(CacheFull):
            router.route(swarm(a, b), SHAPE, places)
        free = replace(b, peer_id="c", free_tokens=20)
        assert [hop.node.peer_id for hop in router.route(swarm(a, b, free), SHAPE, places)] == ["a", "c"]
        with pytest.raises(CacheFull):
            router.route(swarm(a, b, replace(free, waiting=1)), SHAPE, places)
        places["b"].room = True
        assert [hop.node.peer_id for hop in router.route(swarm(a, b), SHAPE, places)] == ["a", "b"]

    with_router(test)


def test_what_a_chain_holds_is_not_offered_to_another_session() -> None:
    def test(router: Router) -> None:
        view = swarm(node("a", 0, 4, cache_tokens=40, free_tokens=40))
        hops = router.route(view, SHAPE)
        hold = router.books.opening(hops, SHAPE)
        with pytest.raises(CacheFull):
            router.route(view, SHAPE)
        router.books.refused(hold)
        hold = router.books.opening(router.route(view, SHAPE), SHAPE)
        router.books.opened(hold, {"a": 0})
        with pytest.raises(CacheFull):
            router.route(view, SHAPE)
        router.books.closed(hold)
        assert [hop.node.peer_id for hop in router.route(view, SHAPE)] == ["a"]
        router.books.full("a", None)
        with pytest.raises(CacheFull):
            router.route(view, SHAPE)

    with_router(test)


def test_a_way_is_as_long_as_measured_else_as_coordinates_say_else_a_usual_one() -> None:
    near = node("near", 0, 4, coordinate=Coordinate(0.0, 0.0, 0.001, 0.1))
    far = node("far", 0, 4, coordinate=Coordinate(0.1, 0.0, 0.001, 0.1))
    trips = RoundTrips()
    assert trips.to(far) == ASSUMED_HOP_SECONDS
    for _ in range(30):
        trips.learn(near, 0.004)
    assert trips.to(near) == pytest.approx(0.004)
    assert trips.one_way(far) == pytest.approx(0.05, rel=0.1)
    assert trips.to(node("unplaced", 0, 4)) == ASSUMED_HOP_SECONDS
    trips.learn(far, 0.5)
    assert trips.to(far) == pytest.approx(0.5)


def test_a_session_changes_to_another_chain_when_more_is_ahead_than_the_records_said() -> None:
    def test(router: Router) -> None:
        view = swarm(node("busy", 0, 4), node("idle", 0, 4, prefill_seconds=0.002))
        hops = (Hop(view.nodes[0], Span(0, 4)),)
        hold = router.books.opening(hops, SHAPE)
        router.books.opened(hold, {"busy": 10_000})

        there = router.second_thoughts(view, SHAPE, hops, {"busy": 10_000})
        assert there is not None
        assert [hop.node.peer_id for hop in there] == ["idle"]
        assert router.second_thoughts(view, SHAPE, hops, {"busy": 0}) is None
        # What the node told is known to the next session too.
        assert [hop.node.peer_id for hop in router.route(view, SHAPE)] == ["idle"]

    with_router(test)


def test_a_node_is_asked_though_it_was_full_when_that_was_long_ago() -> None:
    def test(router: Router) -> None:
        made_at = time.time() - 2 * DOUBT_SECONDS
        old = node("a", 0, 4, free_tokens=0, expires_at=made_at + RECORD_SECONDS)
        view = Snapshot("model", (old,), made_at)
        assert [hop.node.peer_id for hop in router.route(view, SHAPE)] == ["a"]
        router.books.full("a", 0)
        with pytest.raises(CacheFull):
            router.route(view, SHAPE)

    with_router(test)


def test_a_session_goes_where_its_beginning_was_served_as_long_as_that_is_not_too_long_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = bytes(3 * PREFIX_KEY_BYTES)
    shape = SessionShape(200, 210, prefix_keys=keys + bytes([1] * PREFIX_KEY_BYTES))

    def test(router: Router) -> None:
        view = swarm(node("fast", 0, 4), node("slow", 0, 4, prefill_seconds=0.002))
        assert router.route(view, shape)[0].node.peer_id == "fast"
        router.served((Hop(view.nodes[1], Span(0, 4)),), keys)
        assert router.route(view, shape)[0].node.peer_id == "slow"
        assert router.route(view, replace(shape, prefix_keys=b""))[0].node.peer_id == "fast"
        router.failed("slow")
        assert router.route(view, shape)[0].node.peer_id == "fast"
        monkeypatch.setattr("swarm_node.client.served_prefixes.PREFIX_IDLE_SECONDS", 0.0)
        assert not router._served.find(keys, trio.current_time())

    with_router(test)


def test_what_a_chain_holds_of_a_prompt_is_no_reason_to_leave_it_and_no_work_ahead_of_others() -> None:
    shape = SessionShape(1000, 1100)

    def test(router: Router) -> None:
        view = swarm(node("holds", 0, 4), node("idle", 0, 4))
        hops = (Hop(view.nodes[0], Span(0, 4)),)
        hold = router.books.opening(hops, shape)
        assert router.second_thoughts(view, shape, hops, {"holds": 2000}) is not None
        assert router.second_thoughts(view, shape, hops, {"holds": 2000}, 960) is None
        router.books.opened(hold, {"holds": 0}, 960)
        (ahead, _) = router.books.adjusted(view).nodes
        assert ahead.backlog_tokens <= 4 * 40
        router.books.closed(hold)
        (ahead, _) = router.books.adjusted(view).nodes
        assert ahead.backlog_tokens == 0

    with_router(test)
