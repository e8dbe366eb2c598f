"""A running node as a panel in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.node_lines import model_name
from routing import NodeState, describe_bytes

if TYPE_CHECKING:
    from swarm_node.node import Node


@contextmanager
def live_panel() -> Iterator[Callable[[Node], None]]:
    """A function that shows how the node is now."""
    with Live(Text("starting …"), auto_refresh=True, refresh_per_second=4) as live:
        yield lambda node: live.update(_panel(node))


def _panel(node: Node) -> Panel:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_row("state", Text(node.state.name, style="green" if node.state is NodeState.ONLINE else "yellow"))
    table.add_row("model", model_name(node))
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
        parts.append(Text(f"\nJoin: swarm node --model {model_name(node)} --initial-peers {node.addresses[0]}"))
        parts.append(
            Text(f'Use:  swarm generate "Hello" --model {model_name(node)} --initial-peers {node.addresses[0]}')
        )
    return Panel(Group(*parts), title="swarm node", subtitle="Ctrl-C drains and leaves")
