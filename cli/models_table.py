"""All models of a swarm as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from routing import PresentModel, describe_blocks, describe_bytes, free_places, longest_line
from swarm_node.settings import session_tokens


def models_table(models: Sequence[PresentModel]) -> RenderableType:
    """A line for each model. Names are wrapped, never cut: they are what other commands take."""
    if not models:
        return Text("no node here tells which model it serves: none is online yet, or theirs are older than this")
    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("fingerprint", no_wrap=True)
    table.add_column("served", overflow="fold")
    for title in ("blocks", "size", "nodes", "free places", "waiting"):
        table.add_column(title, justify="right")
    for model in models:
        card, snapshot = model.card, model.snapshot
        table.add_row(
            Text(card.name),
            card.fingerprint[:8],
            _served(model),
            str(card.blocks),
            describe_bytes(card.size_bytes),
            str(len(snapshot.nodes)),
            str(free_places(snapshot, card.blocks, session_tokens(card.context_length))),
            str(longest_line(snapshot)),
        )
    return table


def _served(model: PresentModel) -> Text:
    if model.covered:
        return Text("every block", style="green")
    return Text(f"all but {describe_blocks(model.missing)}", style="red")
