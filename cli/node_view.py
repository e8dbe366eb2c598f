"""What a person sees of a running node: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from routing import NodeState, Span, describe_bytes

if TYPE_CHECKING:
    from swarm_node.node import Node


@contextmanager
def show_node() -> Iterator[Callable[[Node], None]]:
    """A function to call whenever the node changes."""
    if not sys.stdout.isatty():
        yield _Lines()
        return
    with Live(Text("starting …"), auto_refresh=True, refresh_per_second=4) as live:
        yield lambda node: live.update(_panel(node))


class _Lines:
    """One line for each new state and move; the ONLINE line tells how to join."""

    def __init__(self) -> None:
        self._told: tuple[NodeState, Span | None] | None = None

    def __call__(self, node: Node) -> None:
        view = node.view
        now = (node.state, view.target if view else None)
        if now == self._told:
            return
        self._told = now
        print(_line(node), flush=True)


def _line(node: Node) -> str:
    name = node.state.name
    if node.view is None:
        return f"{name} the swarm as {' '.join(node.addresses)}"
    if node.view.target is not None:
        return f"MOVING to blocks {node.view.target} of {_name(node)}, serving {node.view.span} meanwhile"
    about = f"blocks {node.view.span} of {_name(node)}"
    if node.state is NodeState.ONLINE:
        return f"{name} {about} at {' '.join(node.addresses)}"
    return f"{name} {about}"


def _name(node: Node) -> str:
    return node.model.name if node.model is not None else "?"


def _panel(node: Node) -> Panel:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_row("state", Text(node.state.name, style="green" if node.state is NodeState.ONLINE else "yellow"))
    table.add_row("model", _name(node))
    view = node.view
    if view is not None:
        used = view.cache_tokens - view.free_tokens
        table.add_row("blocks", f"{view.span} of {node.model.blocks if node.model else '?'} in {view.dtype}")
        table.add_row("memory", describe_bytes(view.memory_bytes))
        table.add_row("sessions", str(view.running))
        table.add_row("cache used", ProgressBar(total=max(1, view.cache_tokens), completed=used, width=40))
        if view.decode_seconds:
            table.add_row("speed", f"{view.decode_seconds * 1e3:.2f} ms per decode step and block")
    parts: list[Table | Text] = [table]
    if node.state is NodeState.ONLINE:
        parts.append(Text(f"\nJoin: swarm node --model {_name(node)} --initial-peers {node.addresses[0]}"))
        parts.append(Text(f'Use:  swarm generate "Hello" --model {_name(node)} --initial-peers {node.addresses[0]}'))
    return Panel(Group(*parts), title="swarm node", subtitle="Ctrl-C drains and leaves")
