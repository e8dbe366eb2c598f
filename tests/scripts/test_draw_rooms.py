"""The picture of the rooms in the documentation."""

from __future__ import annotations

import re

import draw_rooms
from draw_rooms import BOTH, CLIENT_SIDE, NODE_SIDE, PICTURE, ROOT, picture, read_imports


def test_it_shows_the_rooms_as_they_are() -> None:
    assert PICTURE.read_text() == picture(), "run python scripts/draw_rooms.py"


def test_it_leaves_out_no_room_but_the_testing_tool() -> None:
    rooms = {path.parent.name for path in (ROOT / "swarm_node").glob("*/__init__.py")}
    assert {*CLIENT_SIDE, *NODE_SIDE, *BOTH} == rooms - {"testing"} == draw_rooms.COLOURS.keys()


def test_the_table_beside_it_says_the_same() -> None:
    table = re.findall(r"^\| `(\w+)` \|.*\|([^|]*)\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    rooms = (*CLIENT_SIDE, *NODE_SIDE, *BOTH)
    said = {(room, other) for room, others in table for other in re.findall(r"`(\w+)`", others)}
    assert [room for room, _ in table] == list(rooms)
    assert said == set(read_imports(rooms))
