"""One node process of the test bed: a real node on an emulated GPU.

    python -m testbed.node [--namespace NAME] SPEC.json

The file holds a NodeSpec; the name is that of a network namespace to run in. It prints what ``swarm node`` prints and
obeys the same signals.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import trio
import typer
from pydantic import TypeAdapter

from cli import logs
from cli.errors import reported
from cli.node import run_node
from cli.node_view import show_node
from routing.span import Span
from swarm_node.node import Node, NodeOptions
from testbed import wan_namespaces
from testbed.emulated_gpu import EmulatedGpu
from testbed.emulated_model import EmulatedCard, EmulatedModel


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What one node is."""

    card: EmulatedCard
    gpu: EmulatedGpu
    load_seconds: float
    """For one block."""
    memory_bytes: int
    identity: Path
    host: str
    """IPv4 address to listen on."""
    blocks: Span | None
    """None lets the node choose, and move."""
    initial_peers: tuple[str, ...]
    """None starts the swarm."""


NODE_SPEC = TypeAdapter(NodeSpec)


def serve(path: Path, namespace: str | None = None) -> None:
    logs.configure(debug=False)
    with reported(debug=False), show_node() as show:
        if namespace is not None:
            wan_namespaces.enter(namespace)
        spec = NODE_SPEC.validate_json(path.read_bytes())
        torch.set_num_threads(1)
        options = NodeOptions(
            identity=spec.identity,
            blocks=spec.blocks,
            memory_bytes=spec.memory_bytes,
            initial_peers=spec.initial_peers,
            new_swarm=not spec.initial_peers,
            host=spec.host,
            device="cpu",
        )
        trio.run(run_node, Node(options, lambda: EmulatedModel(spec.card, spec.gpu, spec.load_seconds), show))


def main() -> None:
    typer.run(serve)


if __name__ == "__main__":
    main()
