"""What somebody who watches a swarm is shown as changed."""

from __future__ import annotations

from dataclasses import replace

from cli.sightings import MARK_SECONDS, Change, Sighting, first_look, next_look
from routing import NodeView, Snapshot
from tests.routing.nodes import node

ALICE, BOB = node("alice", 0, 2), node("bob", 2, 4)


def at(seconds: float, *nodes: NodeView) -> Snapshot:
    return Snapshot("model", nodes, taken_at=seconds)


def marks(sightings: tuple[Sighting, ...], now: float) -> dict[str, Change | None]:
    return {sighting.node.peer_id: sighting.mark(now) for sighting in sightings}


def test_who_is_there_at_the_first_look_did_not_come() -> None:
    assert marks(first_look(at(0, ALICE, BOB)), 0) == {"alice": None, "bob": None}


def test_who_comes_moves_or_leaves_is_marked() -> None:
    before = first_look(at(0, ALICE, BOB))
    carol = node("carol", 0, 4)
    seen = next_look(before, at(5, node("alice", 1, 3), carol))
    assert marks(seen, 5) == {"alice": Change.MOVED, "bob": Change.LEFT, "carol": Change.CAME}


def test_a_mark_stays_for_a_while_and_then_goes_with_those_who_left() -> None:
    seen = next_look(first_look(at(0, ALICE)), at(5, BOB))
    for now in (6, 4 + MARK_SECONDS):
        seen = next_look(seen, at(now, BOB))
        assert marks(seen, now) == {"alice": Change.LEFT, "bob": Change.CAME}
    later = 6 + MARK_SECONDS
    assert marks(next_look(seen, at(later, BOB)), later) == {"bob": None}


def test_a_node_that_comes_back_came() -> None:
    gone = next_look(first_look(at(0, ALICE)), at(5))
    assert marks(next_look(gone, at(6, ALICE)), 6) == {"alice": Change.CAME}


def test_a_node_that_only_gets_busy_did_not_change() -> None:
    seen = next_look(first_look(at(0, ALICE)), at(5, replace(ALICE, free_tokens=0, running=9)))
    assert marks(seen, 5) == {"alice": None}
