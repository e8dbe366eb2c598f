"""One node process of the test bed: a real node on an emulated GPU.

    python -m testbed.node [--namespace NAME] SPEC.json

The file holds a NodeSpec; the name is that of a network namespace to run in. It prints what ``swarm node`` prints and
obeys the same signals.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer
from pydantic import TypeAdapter

from cli.stderr import reported
from emulation.model import EmulatedModel
from emulation.node import serve
from routing.span import Span
from swarm_node.node import NodeOptions
from testbed import wan_namespaces


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


def run(path: Path, namespace: str | None = None) -> None:
    with reported(debug=False):
        if namespace is not None:
            wan_namespaces.enter(namespace)
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


def main() -> None:
    typer.run(run)


if __name__ == "__main__":
    main()
