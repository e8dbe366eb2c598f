"""``swarm node`` for the hollow model: the same process, with blocks that do nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import trio
import typer

from cli import logs, options
from cli.errors import reported
from cli.node import run_node
from cli.node_view import show_node
from hollow_model import HollowModel
from routing.span import Span
from swarm_node.node import Node, NodeOptions


def main(
    model: options.Model,
    blocks: Annotated[str, typer.Option()],
    identity: Annotated[Path, typer.Option()],
    host: Annotated[str, typer.Option()],
    initial_peers: options.InitialPeers = None,
    new_swarm: Annotated[bool, typer.Option("--new-swarm")] = False,
) -> None:
    """Serve some hollow blocks; the options are those of ``swarm node``."""
    logs.configure(debug=False)
    with reported(debug=False), show_node() as show:
        torch.set_num_threads(1)
        wanted = NodeOptions(
            identity=identity,
            blocks=Span.parse(blocks),
            memory_bytes=2**30,
            initial_peers=options.peers_of(initial_peers),
            new_swarm=new_swarm,
            host=host,
            device="cpu",
        )
        trio.run(run_node, Node(wanted, lambda: HollowModel.named(model), show))


if __name__ == "__main__":
    typer.run(main)
