"""What came of the sessions that clients asked a node for, counted since it began."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from routing.errors import SwarmError


@dataclass(slots=True)
class SessionCounts:
    """One node's, over all hosts that it has had; kept by the session host, read by whoever watches the node."""

    served: int = 0
    """Sessions that had cache here and have ended."""
    failovers: int = 0
    """Those of them that the next node on their chain broke off: their clients had to find another."""
    refused: Counter[str] = field(default_factory=Counter)
    """Streams that ended before a session began, by the class of the error."""

    def refuse(self, error: SwarmError) -> None:
        """A stream ends with ``error``, and no session has begun on it."""
        self.refused[type(error).__name__] += 1
