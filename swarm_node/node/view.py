"""What a node says of itself, kept up to date by all that know a part of it; and what its owner sees besides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from routing import NodeState, NodeView, Snapshot, Span
from routing.span import gaps, replicas
from swarm_node.engine import Tally
from swarm_node.node.counts import SessionCounts
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


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node stands at one moment, for its owner: its own view, its work so far, and the others as it saw them."""

    state: NodeState
    model: str
    """Its name; a question mark while the node has not opened it."""
    blocks: int
    """Of the whole model; 0 while the node has not opened it."""
    session_tokens: int
    """Length of the session that places are counted in."""
    addresses: tuple[str, ...]
    """Those that it announces, the most useful first."""
    view: NodeView | None
    """None before it has blocks."""
    counts: SessionCounts
    tally: Tally
    queued_steps: int
    """Steps of sessions that wait in the engine, or run."""
    kept_tokens: int
    """Block-tokens of free cache in which beginnings of sessions are kept."""
    swarm: Snapshot | None
    """The nodes of its model when it looked last, itself among them perhaps; None before it has looked."""

    @property
    def others(self) -> tuple[NodeView, ...]:
        """Nodes that serve or are about to, without this one."""
        if self.swarm is None:
            return ()
        me = self.view.peer_id if self.view is not None else ""
        return tuple(node for node in self.swarm.claiming() if node.peer_id != me)

    @property
    def missing(self) -> list[Span]:
        """Blocks of the model that no node serves, as far as is known; its own count if it serves them."""
        if self.blocks == 0:
            return []
        online = [node.span for node in self.others if node.state is NodeState.ONLINE]
        own = [self.view.span] if self.view is not None and self.state is NodeState.ONLINE else []
        return gaps(replicas([*online, *own], self.blocks))

    @property
    def places(self) -> tuple[int, int]:
        """Sessions of usual length that fit on all of its blocks now, and in an empty cache."""
        if self.view is None:
            return 0, 0
        one = self.view.session_tokens(self.session_tokens, len(self.view.span))
        return self.view.free_tokens // one, self.view.cache_tokens // one
