"""A running node as a panel in a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.figures import count
from cli.node_work import reach_of_node, work_of
from routing import NodeState, describe_blocks, describe_bytes

if TYPE_CHECKING:
    from swarm_node.node import Node, Standing

_LOW = 18
"""Rows of a terminal that has none to spare, with the lines to copy above the panel."""


@contextmanager
def live_panel(console: Console | None = None) -> Iterator[Callable[[Node], None]]:
    """A function that shows how the node is now; something is on the screen at once.

    What its owner may copy stands above the panel and outside of it, each on one line however long.
    """
    console = console or Console()
    told: list[str] = []
    first = Text("swarm node  starting: loads its libraries")
    with Live(first, console=console, auto_refresh=True, refresh_per_second=4) as live:

        def update(node: Node) -> None:
            standing = node.standing
            if standing.state is NodeState.ONLINE and (lines := to_copy(standing)) != told:
                told[:] = lines
                for line in lines:
                    live.console.print(Text(line), soft_wrap=True)
            live.update(panel(standing, console.height))

        yield update


def to_copy(standing: Standing) -> list[str]:
    """The commands with which others join, and use, the swarm."""
    where = f"--model {shlex.quote(standing.model)} --initial-peers {standing.addresses[0]}"
    return [f"Join: swarm node {where}", f'Use:  swarm generate "Hello" {where}']


def panel(standing: Standing, rows: int) -> Table:
    """The node in at most eight lines or so, seven where the terminal has few ``rows``; for 70 columns or more."""
    view, counts = standing.view, standing.counts
    online = standing.state is NodeState.ONLINE
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    state = Text(standing.state.name, style="green" if online else "yellow").append("  Ctrl-C drains and leaves", "dim")
    table.add_row("swarm node", state)
    if view is None:
        table.add_row("model", standing.model)
    else:
        about = f"{standing.model}: blocks {view.span} of {standing.blocks} in {view.dtype}"
        table.add_row("serves", f"{about}, {describe_bytes(view.memory_bytes)}")
    table.add_row("swarm", _swarm(standing))
    if view is not None:
        free, places = standing.places
        sessions = f"{view.running} running, {view.waiting} waiting, {counts.served} served"
        failures = f", {count(counts.failovers, 'failover')}" if counts.failovers else ""
        table.add_row("sessions", sessions + failures)
        room = Table.grid(padding=(0, 1))
        used = max(0, view.cache_tokens - view.free_tokens)
        room.add_row(
            ProgressBar(total=max(1, view.cache_tokens), completed=used, width=20), f"{free} of {places} places free"
        )
        table.add_row("cache", room)
        if view.decode_seconds and rows >= _LOW:
            table.add_row("speed", f"{view.decode_seconds * 1e3:.2f} ms per decode step and block")
    if standing.addresses:
        table.add_row("reached by", reach_of_node(standing))
    table.add_row("now", work_of(standing))
    return table


def _swarm(standing: Standing) -> str:
    if standing.swarm is None:
        return "not seen yet"
    others = count(len(standing.others), "other node")
    if standing.state is not NodeState.ONLINE:
        return others
    missing = standing.missing
    return f"{others}; " + (f"nobody serves blocks {describe_blocks(missing)}" if missing else "every block is served")
