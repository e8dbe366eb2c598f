"""What changed among a swarm's nodes while somebody watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from routing import NodeView, Snapshot

MARK_SECONDS = 60.0
"""For which a change is marked: long enough for somebody who looks up once a minute."""


class Change(StrEnum):
    """What happened to a node."""

    CAME = "came"
    MOVED = "moved"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A node as it was last seen."""

    node: NodeView
    change: Change | None = None
    changed_at: float = 0.0
    """Unix seconds."""

    def mark(self, now: float) -> Change | None:
        """The change if it is fresh."""
        return self.change if now - self.changed_at < MARK_SECONDS else None


def first_look(snapshot: Snapshot) -> tuple[Sighting, ...]:
    """All nodes, none of them marked."""
    return tuple(Sighting(node) for node in snapshot.nodes)


def next_look(before: Sequence[Sighting], snapshot: Snapshot) -> tuple[Sighting, ...]:
    """The nodes of ``snapshot`` and those that have left lately, with what changed since ``before``."""
    now = snapshot.taken_at
    known = {sighting.node.peer_id: sighting for sighting in before}
    seen = [_seen(known.pop(node.peer_id, None), node, now) for node in snapshot.nodes]
    for sighting in known.values():
        if sighting.change is not Change.LEFT:
            seen.append(Sighting(sighting.node, Change.LEFT, now))
        elif sighting.mark(now):
            seen.append(sighting)
    return tuple(seen)


def _seen(before: Sighting | None, node: NodeView, now: float) -> Sighting:
    if before is None or before.change is Change.LEFT:
        return Sighting(node, Change.CAME, now)
    if before.node.span != node.span:
        return Sighting(node, Change.MOVED, now)
    return Sighting(node, before.change, before.changed_at)
