"""Draws the rooms of swarm_node into docs/rooms.svg: what is in each, and how often it imports from the others."""

from __future__ import annotations

import ast
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "rooms.svg"

CLIENT_SIDE = ("gateway", "text", "generate", "client")
NODE_SIDE = ("node", "engine", "compute")
BOTH = ("model", "wire")
"""From top to bottom; each may import from those below it on its own side, and from both sides' rooms."""
NEXT = {*pairwise((*CLIENT_SIDE, *BOTH)), *pairwise((*NODE_SIDE, *BOTH))}
"""Rooms with none between them."""

COLOURS = {
    "gateway": "#be123c",
    "text": "#a16207",
    "generate": "#b45309",
    "client": "#c2410c",
    "node": "#6d28d9",
    "engine": "#1d4ed8",
    "compute": "#0f766e",
    "model": "#4d7c0f",
    "wire": "#475569",
}

WIDTH = 880
"""Pixels: as wide as GitHub shows a picture in a page without making it smaller."""
MARGIN = 10
BETWEEN = 40
"""The two sides."""
BELOW = 46
"""A room: space for an arrow and its number."""
LANE = 18
"""Between arrows that pass by rooms."""
FIRST_LANE = 30
"""From the rooms, which leaves place for numbers."""
PADDING = 12
LINE = 17
TEXT_CHARACTER, CODE_CHARACTER = 6.5, 7.3
"""Width of a character in the widest of the usual types."""


@dataclass(frozen=True)
class Box:
    """A room on the picture: its place in pixels, and its text in lines."""

    name: str
    left: float
    top: float
    width: float
    about: Sequence[str]
    modules: Sequence[str]

    @classmethod
    def of(cls, name: str, left: float, top: float, width: float) -> Box:
        """With the first line of the room's docstring and the names of its files."""
        folder, inside = ROOT / "swarm_node" / name, width - 2 * PADDING
        told = ast.get_docstring(ast.parse((folder / "__init__.py").read_bytes())) or ""
        files = [file for file in sorted(folder.rglob("*.py")) if file.stem not in ("__init__", "settings")]
        names = "  ".join(file.relative_to(folder).with_suffix("").as_posix() for file in files)
        about = textwrap.wrap(told.splitlines()[0].replace("``", ""), int(inside / TEXT_CHARACTER))
        modules = textwrap.wrap(names, int(inside / CODE_CHARACTER), break_on_hyphens=False)
        return cls(name, left, top, width, about, modules)

    @property
    def bottom(self) -> float:
        return self.top + 2 * PADDING + LINE * (1 + len(self.about) + len(self.modules)) + 4

    def draw(self) -> Iterator[str]:
        colour, x, y = COLOURS[self.name], self.left + PADDING, self.top + PADDING + 12
        yield (
            f'<rect x="{self.left:g}" y="{self.top:g}" width="{self.width:g}" height="{self.bottom - self.top:g}" '
            f'rx="6" fill="{colour}" fill-opacity="0.07" stroke="{colour}" stroke-width="1.5"/>'
        )
        yield f'<text x="{x:g}" y="{y:g}" font-size="15" font-weight="bold" fill="{colour}">{self.name}</text>'
        for line in self.about:
            y += LINE
            yield f'<text x="{x:g}" y="{y:g}" font-size="12" fill="#334155">{escape(line)}</text>'
        y += 4
        for line in self.modules:
            y += LINE
            yield (
                f'<text x="{x:g}" y="{y:g}" font-size="12" font-family="Menlo, Consolas, monospace" fill="#0f172a" '
                f'xml:space="preserve">{escape(line)}</text>'
            )


def read_imports(rooms: Sequence[str]) -> Counter[tuple[str, str]]:
    """How many import statements of one room's files take from another."""
    counted: Counter[tuple[str, str]] = Counter()
    for room in rooms:
        for file in (ROOT / "swarm_node" / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    top, _, rest = node.module.partition(".")
                    other = rest.partition(".")[0]
                    if top == "swarm_node" and other in rooms and other != room:
                        counted[room, other] += 1
    return counted


def picture() -> str:
    """The rooms as they are now, in SVG: always the same for the same rooms and imports."""
    imports = read_imports((*CLIENT_SIDE, *NODE_SIDE, *BOTH))
    passing = sorted(imports.keys() - NEXT, key=_from_inside)
    left_edges = [edge for edge in passing if edge[0] in CLIENT_SIDE]
    right_edges = [edge for edge in passing if edge[0] not in CLIENT_SIDE]
    boxes = place(len(left_edges), len(right_edges))
    arrows = [_straight(boxes[one], boxes[other], imports[one, other]) for one, other in sorted(imports.keys() & NEXT)]
    arrows += _by_lanes(boxes, left_edges, imports, -1) + _by_lanes(boxes, right_edges, imports, 1)
    height = max(box.bottom for box in boxes.values()) + MARGIN
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{colour}"/></marker>'
        for name, colour in COLOURS.items()
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" viewBox="0 0 {WIDTH} {height:g}" '
        'font-family="Helvetica, Arial, sans-serif">',
        "<title>The rooms of swarm_node, and how often one imports from another</title>",
        f"<defs>{heads}</defs>",
        f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>',
        *(line for box in boxes.values() for line in box.draw()),
        *arrows,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def place(left_lanes: int, right_lanes: int) -> dict[str, Box]:
    """A column for each side, and the rooms of both below them; lanes for arrows left and right."""
    left = MARGIN + FIRST_LANE + LANE * (left_lanes - 1)
    right = WIDTH - MARGIN - FIRST_LANE - LANE * (right_lanes - 1)
    half = (right - left - BETWEEN) / 2
    boxes: dict[str, Box] = {}

    def column(names: Sequence[str], x: float, y: float, width: float) -> float:
        for name in names:
            boxes[name] = Box.of(name, x, y, width)
            y = boxes[name].bottom + BELOW
        return y

    top = max(column(CLIENT_SIDE, left, MARGIN, half), column(NODE_SIDE, right - half, MARGIN, half))
    column(BOTH, left, top, right - left)
    return boxes


def _from_inside(edge: tuple[str, str]) -> tuple[int, int]:
    """The order of lanes: arrows that pass by few rooms are nearest to them."""
    one, other = map((*NODE_SIDE, *CLIENT_SIDE, *BOTH).index, edge)
    return other - one, one


def _straight(one: Box, other: Box, count: int) -> str:
    x, y = one.left + one.width / 2, (one.bottom + other.top) / 2 + 4
    return _arrow(one.name, f"M{x:g} {one.bottom:g}V{other.top:g}") + _number(one.name, x + 8, y, count, "start")


def _by_lanes(
    boxes: dict[str, Box], edges: Sequence[tuple[str, str]], imports: Counter[tuple[str, str]], sign: int
) -> list[str]:
    """Arrows that leave a room at its side (-1: left, 1: right), go down in a lane of their own, and come in at the
    side of another."""

    def edge_of(box: Box) -> float:
        return box.left if sign < 0 else box.left + box.width

    arrows = []
    for number, (one, other) in enumerate(edges):
        lane = edge_of(boxes[BOTH[0]]) + sign * (FIRST_LANE + LANE * number)
        leaving = [edge for edge in edges if edge[0] == one]
        coming = [edge for edge in edges if edge[1] == other]
        start = boxes[one].bottom - 14 - 16 * leaving.index((one, other))
        end = boxes[other].top + 18 + 18 * (len(coming) - 1 - coming.index((one, other)))
        x1, x2 = edge_of(boxes[one]), edge_of(boxes[other])
        arrows.append(_arrow(one, f"M{x1:g} {start:g}H{lane:g}V{end:g}H{x2:g}"))
        arrows.append(_number(one, x2 + sign * 10, end - 4, imports[one, other], "end" if sign < 0 else "start"))
    return arrows


def _arrow(name: str, path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="1.5" marker-end="url(#{name})"/>'


def _number(name: str, x: float, y: float, count: int, anchor: str) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="11" text-anchor="{anchor}" fill="{COLOURS[name]}" '
        f'stroke="#ffffff" stroke-width="3" paint-order="stroke">{count}</text>'
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
    print(f"wrote {PICTURE.relative_to(ROOT)}")
