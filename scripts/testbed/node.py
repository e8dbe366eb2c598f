"""One node process of the test bed: a real node on an emulated GPU.

    python -m testbed.node SPEC.json

The file holds a NodeSpec. It prints what ``swarm node`` prints and obeys the same signals.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer
from pydantic import TypeAdapter

from emulation.model import EmulatedModel
from emulation.node import serve
from routing.span import Span
from swarm_node.node import NodeOptions


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What one node is."""

    model: EmulatedModel
    memory_bytes: int
    identity: Path
    host: str
    """IPv4 address to listen on."""
    blocks: Span | None
    """None lets the node choose, and move."""
    initial_peers: tuple[str, ...]
    """None starts the swarm."""


NODE_SPEC = TypeAdapter(NodeSpec)


def main(path: Path) -> None:
    spec = NODE_SPEC.validate_json(path.read_bytes())
    serve(
        spec.model,
        NodeOptions(
            identity=spec.identity,
            blocks=spec.blocks,
            memory_bytes=spec.memory_bytes,
            initial_peers=spec.initial_peers,
            new_swarm=not spec.initial_peers,
            host=spec.host,
            device="cpu",
        ),
    )


if __name__ == "__main__":
    typer.run(main)
