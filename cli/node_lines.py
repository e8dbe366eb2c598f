"""A running node as lines of text, for a log or a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routing import NodeState, Span

if TYPE_CHECKING:
    from swarm_node.node import Node


class NodeLines:
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
        return f"MOVING to blocks {node.view.target} of {model_name(node)}, serving {node.view.span} meanwhile"
    about = f"blocks {node.view.span} of {model_name(node)}"
    if node.state is NodeState.ONLINE:
        return f"{name} {about} at {' '.join(node.addresses)}"
    return f"{name} {about}"


def model_name(node: Node) -> str:
    """A question mark as long as the node has not opened it."""
    return node.model.name if node.model is not None else "?"
