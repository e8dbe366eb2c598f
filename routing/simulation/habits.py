"""What clients do against the age of what they know."""

from __future__ import annotations

import math
from dataclasses import dataclass

from routing.settings import NEAR_EQUAL


@dataclass(frozen=True, slots=True)
class Habits:
    """What clients do against the age of what they know; each can be left out for comparison."""

    ledger: bool = True
    """Count own sessions, and what servers told when they refused; else only the job that was refused knows."""
    near_equal: float = NEAR_EQUAL
    """Choose at random among chains whose times differ by less than this share; 0 for always the fastest."""
    tickets: bool = True
    """Wait in line at the servers; else try again after 1 s, 2 s, 4 s … with newly read records."""
    doubt_seconds: float = 2.0
    """Ask a faster chain that seems full if what is known of it is older than this; infinite to believe it."""
    attempts: int = 3
    """Refusals after which a job waits, though another chain seems free."""


HABITS_OFF = Habits(ledger=False, near_equal=0.0, tickets=False, doubt_seconds=math.inf, attempts=1000)
"""None of the counter-measures: every client takes what its records call the fastest free chain."""
