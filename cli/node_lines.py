"""A running node as lines of text, for a log or a pipe."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from routing import NodeState, Span

if TYPE_CHECKING:
    from swarm_node.node import Node

log = logging.getLogger(__name__)

Say = Callable[["Node", str], None]


def print_line(_node: Node, line: str) -> None:
    """To standard output."""
    print(line, flush=True)


def log_line(node: Node, line: str) -> None:
    """As an event with the node's state, blocks and addresses in fields of their own."""
    view = node.view
    fields: dict[str, object] = {
        "event": "state",
        "state": node.state.value,
        "model": model_name(node),
        "addresses": node.addresses,
    }
    if view is not None:
        target = str(view.target) if view.target is not None else None
        fields |= {"peer": view.peer_id, "blocks": str(view.span), "target": target}
    log.info("%s", line, extra={"fields": fields})


class NodeLines:
    """One line for each new state and move; the ONLINE line tells how to join."""

    def __init__(self, say: Say = print_line) -> None:
        self._say = say
        self._told: tuple[NodeState, Span | None] | None = None

    def __call__(self, node: Node) -> None:
        view = node.view
        now = (node.state, view.target if view else None)
        if now == self._told:
            return
        self._told = now
        self._say(node, _line(node))


def _line(node: Node) -> str:
    name = node.state.name
    if node.view is None:
        return f"{name} the swarm as {' '.join(node.addresses)}"
    if node.view.target is not None:
        return f"MOVING to blocks {node.view.target} of {model_name(node)}, serving {node.view.span} meanwhile"
    about = f"blocks {node.view.span} of {model_name(node)}"
    if node.state is NodeState.ONLINE:
        return f"{name} {about} at {' '.join(node.addresses)}"
    return f"{name} {about}"


def model_name(node: Node) -> str:
    """A question mark as long as the node has not opened it."""
    return node.model.name if node.model is not None else "?"
