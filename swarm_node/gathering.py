"""How long an idle engine waits for decodes that come with the first, and else would need a batch of their own."""

from __future__ import annotations

from dataclasses import dataclass

from swarm_node.settings import GATHER_SHARE, GATHERS_SKIPPED_MAX


@dataclass(slots=True)
class Gathering:
    """A pure decision with a memory: as long as nobody comes meanwhile, it is tried less and less often."""

    _until: float | None = None
    """When the present wait ends; None between two."""
    _first: int = 0
    """Decodes that were there when it began."""
    _vain: int = 0
    """Waits in a row that brought nobody."""
    _skip: int = 0
    """Chances to be passed by until the next."""

    def pause(self, now: float, decodes: int, absent: int, step_seconds: float) -> float:
        """Seconds to wait for more before a batch with ``decodes`` runs, 0 for none.

        ``absent``: sessions that decoded here lately and are not waiting. ``step_seconds``: what a batch takes.
        """
        if not absent:
            return 0.0
        if self._until is None:
            if self._skip:
                self._skip -= 1
                return 0.0
            self._until, self._first = now + GATHER_SHARE * step_seconds, decodes
        return max(0.0, self._until - now)

    def end(self, decodes: int) -> None:
        """A batch with ``decodes`` begins."""
        if self._until is None:
            return
        self._vain = 0 if decodes > self._first else self._vain + 1
        self._skip = min((1 << self._vain) - 1, GATHERS_SKIPPED_MAX)
        self._until = None
