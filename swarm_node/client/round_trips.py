"""How far the nodes are from this client: measured where it has spoken with them, told from coordinates elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from routing import Coordinate, NodeView
from swarm_node.client.settings import ASSUMED_HOP_SECONDS, RTT_GAIN


class RoundTrips:
    """One client's moving means of round trips, in seconds, and its own place in the network."""

    def __init__(self) -> None:
        self.place = Coordinate()
        self._means: dict[str, float] = {}

    def learn(self, node: NodeView, seconds: float) -> None:
        """A message to ``node`` and its answer took so long."""
        known = self._means.get(node.peer_id, seconds)
        self._means[node.peer_id] = known + RTT_GAIN * (seconds - known)
        if node.coordinate.placed:
            self.place = self.place.after(node.coordinate, seconds)

    def measured(self) -> Mapping[str, float]:
        """Seconds there and back by peer id, of the nodes that it has spoken with."""
        return dict(self._means)

    def to(self, node: NodeView) -> float:
        """Seconds there and back; ASSUMED_HOP_SECONDS where nothing is known."""
        known = self._means.get(node.peer_id)
        if known is not None:
            return known
        if self.place.placed and node.coordinate.placed:
            return 2 * self.place.one_way(node.coordinate)
        return ASSUMED_HOP_SECONDS

    def one_way(self, node: NodeView) -> float:
        """Seconds that a message between this client and ``node`` takes."""
        return self.to(node) / 2
