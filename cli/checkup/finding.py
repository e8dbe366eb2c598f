"""What one look at the machine found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Of one finding."""

    OK = "ok"
    NOTE = "note"
    """Works, but less well than it could, or not for everybody."""
    WRONG = "wrong"
    """A node here will fail, or serve nobody."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One need of a node, and whether it is met."""

    check: str
    """A word or two."""
    verdict: Verdict
    said: str
    """What is so, in one line."""
    mend: str = ""
    """A command that mends it, or what to do; empty if all is well."""
