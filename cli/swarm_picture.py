"""One model's swarm as a picture for a terminal of any size: blocks across, every node a bar at its span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from cli.block_bar import BlockBar
from cli.figures import count
from cli.sightings import Change, Sighting
from dht import short_name
from routing import (
    Card,
    NodeState,
    NodeView,
    Snapshot,
    describe_blocks,
    describe_bytes,
    free_places,
    free_slots,
    longest_line,
)
from swarm_node.settings import session_tokens

_NARROWEST_BAR = 16
"""Columns that the bars have at least while there are figures to leave out."""
_BUSY, _FULL = 0.5, 0.85
"""Shares of a node's cache from which on its bar is yellow, and red."""
_MARKS = {Change.CAME: ("+", "bold green"), Change.MOVED: (">", "bold yellow"), Change.LEFT: ("-", "bold red")}
_NO_MARK = (" ", "")
_FILLING = {NodeState.ONLINE: "█", NodeState.DRAINING: "░"}
_COMING = "▒"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of every node, under its title."""

    title: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(map(len, (self.title, *self.cells)))


@dataclass(frozen=True, slots=True)
class SwarmPicture:
    """A rich renderable. In a terminal it never has more lines than that; elsewhere it shows every node."""

    card: Card
    snapshot: Snapshot
    sightings: Sequence[Sighting]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = options.size.height - 1 if console.is_terminal else None
        for line in self.lines(options.max_width, rows):
            line.truncate(options.max_width, overflow="ellipsis")
            line.no_wrap = True
            yield line

    def lines(self, columns: int, rows: int | None) -> list[Text]:
        """At most ``rows`` lines of ``columns`` characters."""
        head = [self._headline(), self._verdict()]
        shown, hidden = self._shown(None if rows is None else max(1, rows - len(head) - 2))
        figures = self._figures(shown, columns)
        names = Column("", [short_name(sighting.node.peer_id) for sighting in shown])
        left = max(names.width, len("replicas")) + 2
        bar = BlockBar(self.card.blocks, columns - left - sum(figure.width + 2 for figure in figures) - 1)
        titles = "".join(f"  {figure.title:>{figure.width}}" for figure in figures)
        lines = [
            *head,
            Text(f"{'':{left}} {bar.ruler():{bar.columns}}{titles}", style="dim"),
            self._replicas(left, bar),
        ]
        for row, sighting in enumerate(shown):
            change = sighting.mark(self.snapshot.taken_at)
            sign, style = _MARKS[change] if change else _NO_MARK
            line = Text.assemble((f"{sign} ", style), f"{names.cells[row]:{left - 2}} ")
            line.append_text(self._bar(sighting, bar))
            for figure in figures:
                line.append(f"  {figure.cells[row]:>{figure.width}}", "dim" if _has_left(sighting) else "")
            lines.append(line)
        if hidden:
            lines.append(Text(f"… and {count(hidden, 'more node')}: a taller window shows them", style="dim"))
        return lines

    def _headline(self) -> Text:
        card = self.card
        about = f" · {count(card.blocks, 'block')} · {count(len(self.snapshot.nodes), 'node')}"
        return Text.assemble((card.name, "bold"), f"{about} · {card.fingerprint[:8]}")

    def _verdict(self) -> Text:
        places = free_places(self.snapshot, self.card.blocks, session_tokens(self.card.context_length))
        told = f"{count(places, 'free place')} · {longest_line(self.snapshot) or 'nobody'} waiting · "
        missing = self.snapshot.missing(self.card.blocks)
        if missing:
            return Text.assemble(told, (f"blocks {describe_blocks(missing)} are served by nobody", "red"))
        return Text.assemble(told, ("every block is served", "green"))

    def _shown(self, rows: int | None) -> tuple[list[Sighting], int]:
        """Nodes for so many lines, in the order of their spans, and how many others there are; changed ones first."""
        ordered = sorted(self.sightings, key=lambda sighting: (sighting.node.span, sighting.node.peer_id))
        if rows is None or len(ordered) <= rows:
            return ordered, 0
        now = self.snapshot.taken_at
        first = sorted(ordered, key=lambda sighting: sighting.mark(now) is None)[: rows - 1]
        chosen = {sighting.node.peer_id for sighting in first}
        return [sighting for sighting in ordered if sighting.node.peer_id in chosen], len(ordered) - len(chosen)

    def _figures(self, shown: Sequence[Sighting], columns: int) -> list[Column]:
        """As many columns of figures as leave room for the bars, the most telling first.

        Speed is that of one decode step in one block, free are the sessions that the node alone has room for.
        """
        slots = session_tokens(self.card.context_length)
        nodes = [sighting.node for sighting in shown]
        wanted = [
            Column("blocks", [str(node.span) for node in nodes]),
            Column("state", [_state(sighting) for sighting in shown]),
            Column("load", [f"{load(node):.0%}" for node in nodes]),
            Column("speed", [f"{node.decode_seconds * 1e3:.3g}ms" for node in nodes]),
            Column("memory", [describe_bytes(node.memory_bytes) for node in nodes]),
            Column("free", [str(free_slots(node, slots)) for node in nodes]),
            Column("waiting", [str(node.waiting) for node in nodes]),
            Column("dtype", [node.dtype for node in nodes]),
        ]
        room = columns - max(len("replicas"), 9) - 3 - _NARROWEST_BAR
        taken: list[Column] = []
        for figure in wanted:
            if figure.width + 2 <= room:
                room -= figure.width + 2
                taken.append(figure)
        return taken

    def _replicas(self, left: int, bar: BlockBar) -> Text:
        digits = bar.replicas(node.span for node in self.snapshot.online())
        line = Text(f"{'replicas':>{left}} ", style="dim")
        return Text.assemble(
            line, *_runs([("·", "bold red") if digit == "0" else (digit, "green") for digit in digits])
        )

    def _bar(self, sighting: Sighting, bar: BlockBar) -> Text:
        node = sighting.node
        cells = [("·", "dim")] * bar.columns
        if not _has_left(sighting):
            for column in bar.columns_of(node.target) if node.target else ():
                cells[column] = (_COMING, "cyan")
            for column in bar.columns_of(node.span):
                cells[column] = (_FILLING.get(node.state, _COMING), _colour(node))
        return Text.assemble(*_runs(cells))


def _runs(cells: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one style together: a terminal is told each style once."""
    return [("".join(cell for cell, _ in run), style) for style, run in groupby(cells, key=itemgetter(1))]


def load(node: NodeView) -> float:
    """Share of the node's cache that sessions hold, from 0 to 1."""
    return 1 - node.free_tokens / node.cache_tokens if node.cache_tokens else 0.0


def _colour(node: NodeView) -> str:
    if node.state is not NodeState.ONLINE:
        return "cyan"
    busy = load(node)
    return "red" if busy >= _FULL or node.waiting else "yellow" if busy >= _BUSY else "green"


def _has_left(sighting: Sighting) -> bool:
    return sighting.change is Change.LEFT


def _state(sighting: Sighting) -> str:
    if _has_left(sighting):
        return "left"
    return "moving" if sighting.node.target else sighting.node.state.value
