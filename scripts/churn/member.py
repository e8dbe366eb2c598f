"""One server of a simulated swarm: what it is, what its record says of it, and what it knows of the others."""

from __future__ import annotations

from dataclasses import dataclass, field

from routing.plan.cluster import Server
from routing.span import Span
from swarm_node.node.settings import LOOK_SECONDS, OVERDUE_SECONDS
from swarm_node.settings import ANNOUNCE_SECONDS, RECORD_SECONDS


@dataclass(frozen=True, slots=True)
class Pace:
    """How often servers say where they are and look where others are, in seconds."""

    announce: float = ANNOUNCE_SECONDS
    record: float = RECORD_SECONDS
    """After so long without an announcement a record fades."""
    look: float = LOOK_SECONDS
    overdue: float = OVERDUE_SECONDS
    """After so long without one its server is asked whether it is there, where that matters."""


USUAL_PACE = Pace()


@dataclass(slots=True, eq=False)
class Member:
    """One server as it is, and what its record says of it."""

    server: Server
    span: Span
    """What it hosts or loads."""
    before: Span | None
    """What it hosted before it began to load."""
    loaded_at: float
    joined_at: float
    leaving: bool = False
    recorded: Span | None = None
    record_loaded_at: float = 0.0
    expires: float = float("-inf")
    """When its record fades."""
    missed: frozenset[int] = frozenset()
    """Blocks that it knew to be missing when it looked last."""
    gone: dict[Member, float] = field(default_factory=dict)
    """Who did not answer it, and when the record fades that there was then."""

    def serves(self, now: float) -> Span | None:
        """The blocks that it can be asked to run: while it loads, those that it keeps."""
        if self.loaded_at <= now:
            return self.span
        if self.before is None:
            return None
        return self.before.common(self.span)
