"""A real node on an emulated engine."""

from __future__ import annotations

import torch
import trio

from cli.node import run_node, show_node
from cli.stderr import reported
from emulation.model import EmulatedModel
from swarm_node.node import Node, NodeOptions


def serve(model: EmulatedModel, options: NodeOptions) -> None:
    """Be a node until it ends: prints what ``swarm node`` prints, and obeys the same signals."""
    with reported(debug=False), show_node() as show:
        torch.set_num_threads(1)
        trio.run(run_node, Node(options, lambda: model, show))
