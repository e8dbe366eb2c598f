"""One model's swarm as people see it in terminals of many sizes."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from cli.sightings import first_look, next_look
from cli.swarm_picture import SwarmPicture
from routing import Card, NodeState, NodeView, Snapshot, Span
from tests.routing.nodes import node

CARD = Card("Qwen/Qwen3-0.6B", "a" * 40, "f" * 32, 28, 64, 2048, "qwen3", "bfloat16", 10**9)


def member(number: int, start: int, end: int, **changes: Any) -> NodeView:
    """A node with 1,000,000 block-tokens of cache; its name is seen by its last eight digits."""
    fields = {"memory_bytes": 6 * 2**30, "cache_tokens": 10**6, "free_tokens": 10**6}
    return node(f"12D3KooW{number:08d}", start, end, **{**fields, **changes})


def picture(*nodes: NodeView, before: Sequence[NodeView] | None = None) -> SwarmPicture:
    now = Snapshot(CARD.fingerprint, nodes, taken_at=10.0)
    if before is None:
        return SwarmPicture(CARD, now, first_look(now))
    return SwarmPicture(CARD, now, next_look(first_look(Snapshot(CARD.fingerprint, tuple(before), 0.0)), now))


def drawn(shown: SwarmPicture, columns: int = 100, rows: int = 30, *, terminal: bool = True) -> str:
    """As it is printed there, with colours in a terminal."""
    output = io.StringIO()
    colours = "standard" if terminal else "auto"
    Console(file=output, width=columns, height=rows, force_terminal=terminal, color_system=colours).print(shown)
    return output.getvalue()


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


def line_of(number: int, shown: SwarmPicture, **size: Any) -> str:
    (line,) = (line for line in plain(drawn(shown, **size)) if f"{number:08d}" in line)
    return line


def test_every_node_is_a_bar_at_its_blocks() -> None:
    shown = picture(member(1, 0, 14), member(2, 14, 28))
    assert re.search(r"…00000001 █+·+ +0:14 ", line_of(1, shown))
    assert re.search(r"…00000002 ·+█+ +14:28 ", line_of(2, shown))


def test_it_tells_what_is_served_what_is_free_and_who_waits() -> None:
    whole = plain(drawn(picture(member(1, 0, 28, free_tokens=3 * 28 * 2048, waiting=2))))
    assert whole[1] == "3 free places · 2 waiting · every block is served"
    broken = plain(drawn(picture(member(1, 0, 9))))
    assert broken[1] == "0 free places · nobody waiting · blocks 9:28 are served by nobody"
    assert re.search(r"replicas 1+·+$", broken[3])


def test_a_nodes_load_is_a_figure_and_a_colour() -> None:
    def bar(free: int) -> str:
        (line,) = (line for line in drawn(picture(member(1, 0, 28, free_tokens=free))).splitlines() if "…0" in line)
        return line

    assert "\x1b[32m██" in bar(900_000) and " 10% " in bar(900_000)
    assert "\x1b[33m██" in bar(400_000) and " 60% " in bar(400_000)
    assert "\x1b[31m██" in bar(100_000) and " 90% " in bar(100_000)


def test_memory_speed_and_state_stand_beside_the_bar() -> None:
    line = line_of(1, picture(member(1, 0, 28, decode_seconds=0.00123)), columns=70)
    assert re.search(r"online +0% +1.23ms +6GiB$", line)


def test_a_node_that_does_not_serve_yet_looks_unlike_one_that_does() -> None:
    assert re.search(r"▒+·+ +0:14 +loading", line_of(1, picture(member(1, 0, 14, state=NodeState.LOADING))))
    assert re.search(r"░+·+ +0:14 +draining", line_of(1, picture(member(1, 0, 14, state=NodeState.DRAINING))))


def test_a_node_on_the_move_shows_where_to() -> None:
    assert re.search(r"█+·+▒+ +0:7 +moving", line_of(1, picture(member(1, 0, 7, target=Span(21, 28)))))


def test_who_came_moved_or_left_is_marked() -> None:
    shown = picture(member(1, 0, 28), member(2, 1, 4), before=[member(2, 0, 3), member(3, 0, 3)])
    assert line_of(1, shown).startswith("+ …")
    assert line_of(2, shown).startswith("> …")
    assert line_of(3, shown).startswith("- …") and " left " in line_of(3, shown)


@pytest.mark.parametrize("columns", [40, 70, 80, 200])
@pytest.mark.parametrize("rows", [8, 14, 40])
@pytest.mark.parametrize("members", [0, 1, 5, 300])
def test_it_fits_any_window_and_never_cuts_a_nodes_name(columns: int, rows: int, members: int) -> None:
    shown = picture(*(member(number, number % 20, number % 20 + 8, waiting=1234) for number in range(members)))
    lines = plain(drawn(shown, columns, rows))
    assert all(cell_len(line) <= columns for line in lines)
    assert len(lines) < rows
    names = [line for line in lines if "…0" in line]
    assert all(re.match(r"  …\d{8} ", line) for line in names)
    hidden = re.match(r"… and (\d+) more nodes?", lines[-1])
    assert len(names) + (int(hidden[1]) if hidden else 0) == members


def test_with_too_little_room_those_that_changed_are_shown() -> None:
    many = [member(number, number % 20, number % 20 + 8) for number in range(50)]
    shown = picture(*many, member(99, 20, 28), before=many)
    assert line_of(99, shown, rows=10).startswith("+ ")


def test_outside_a_terminal_it_is_plain_and_shows_all() -> None:
    shown = picture(*(member(number, 0, 28) for number in range(60)))
    text = drawn(shown, 80, 10, terminal=False)
    assert "\x1b" not in text
    assert sum("…000" in line for line in text.splitlines()) == 60


def test_a_node_that_claims_blocks_beyond_the_model_breaks_nothing() -> None:
    assert re.search(
        r" ·+ +100:200 ", line_of(1, picture(member(1, 100, 200, target=Span(5, 60_000)))).replace("▒", "·")
    )
