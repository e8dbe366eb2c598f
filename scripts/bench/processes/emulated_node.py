"""A node with blocks at a pace, for LocalSwarm to run in place of ``swarm node``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from emulation.model import token_paced
from emulation.node import serve
from routing.span import Span
from swarm_node.node import NodeOptions


def main(
    model: options.Model,
    token_seconds: Annotated[float, typer.Option()],
    blocks: Annotated[str, typer.Option()],
    identity: Annotated[Path, typer.Option()],
    host: Annotated[str, typer.Option()],
    initial_peers: options.InitialPeers = None,
    new_swarm: Annotated[bool, typer.Option("--new-swarm")] = False,
) -> None:
    """Serve some emulated blocks; beside --token-seconds the options are those of ``swarm node``."""
    serve(
        token_paced(token_seconds),
        NodeOptions(
            identity=identity,
            blocks=Span.parse(blocks),
            memory_bytes=2**30,
            initial_peers=options.peers_of(initial_peers),
            new_swarm=new_swarm,
            host=host,
            device="cpu",
        ),
    )
