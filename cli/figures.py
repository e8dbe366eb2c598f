"""Figures of plans and simulations as commands print them: for people, and for programs in JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routing.plan.response_time import ResponseBounds


def count(number: int, noun: str) -> str:
    """``1 chain``, ``1,200 chains``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def load_of(arrival_rate: float, rate: float) -> str:
    """``load 70% of 0.2857 jobs/s``: what arriving jobs take of the rate of chains, both in jobs per second."""
    share = f"{arrival_rate / rate:.0%}" if arrival_rate >= 0.01 * rate else "under 1%"
    return f"load {share} of {rate:.4g} jobs/s"


def between(bounds: ResponseBounds) -> str:
    """``12.3 to 12.9 s``; one figure where that is all there is to tell."""
    lower, upper = f"{bounds.lower:.4g}", f"{bounds.upper:.4g}"
    return f"{lower} s" if lower == upper else f"{lower} to {upper} s"


def finite(number: float) -> float | None:
    """For JSON, which has no infinity; a load next to 1 can give one."""
    return float(number) if math.isfinite(number) else None


def json_bounds(bounds: ResponseBounds) -> dict[str, float | None]:
    """In seconds."""
    return {"lower": finite(bounds.lower), "upper": finite(bounds.upper)}
