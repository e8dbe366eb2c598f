"""What a node says of itself, kept up to date by all that know a part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from routing import NodeView
from swarm_node.node.demand import Demand


class OwnView:
    """One node's view of itself; owned by the node, which is told of every change."""

    def __init__(self, view: NodeView, demand: Demand, changed: Callable[[], None]) -> None:
        self.backlog: Callable[[], int] = lambda: 0
        """Tells the block-tokens of prompts that the present engine has yet to compute."""
        self._view = view
        self._demand = demand
        self._changed = changed

    @property
    def now(self) -> NodeView:
        """As of this moment."""
        demand = self._demand
        return replace(
            self._view,
            backlog_tokens=self.backlog(),
            job_rate=demand.job_rate,
            prompt_tokens=demand.prompt_tokens,
            new_tokens=demand.new_tokens,
        )

    def update(self, **changes: Any) -> None:
        """Change fields of the view."""
        self._view = replace(self._view, **changes)
        self._changed()

    def become(self, view: NodeView) -> None:
        """Change all of it."""
        self._view = view
        self._changed()
