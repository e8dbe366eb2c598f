"""Sizes of memory, times and speeds as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from routing.errors import UsageError

_NUMBER_AND_UNIT = re.compile(r"([-+]?[0-9._]+(?:e[-+]?[0-9]+)?)\s*([a-zµμ/]*)", re.IGNORECASE)
_LONGEST = 100
"""Characters. No quantity takes so many, and messages quote them."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A kind of quantity: what it is called, the units it may have (in lower case), and how one is written."""

    what: str
    units: Mapping[str, Decimal]
    example: str

    def read(self, text: str) -> float:
        """The finite number in the basic unit that is nearest to what ``text`` says; ValueError for anything else.

        Decimal fractions are multiplied as such, so 0.11GB is 110,000,000 bytes and not a rounding error beside it.
        """
        match = _NUMBER_AND_UNIT.fullmatch(text.strip()) if len(text) <= _LONGEST else None
        factor = self.units.get(match[2].lower()) if match else None
        if match is None or factor is None:
            raise ValueError(self._complaint(text))
        try:
            amount = float(match[1])
            if math.isfinite(amount):
                amount = float(Decimal(match[1]) * factor)
        except (ValueError, ArithmeticError) as error:
            raise ValueError(self._complaint(text)) from error
        if not math.isfinite(amount):
            raise ValueError(self._complaint(text))
        return amount

    def _complaint(self, text: str) -> str:
        return f"{quoted(text)} is not {self.what}; write for example {self.example}"


def quoted(text: str) -> str:
    """``text`` for a message: short, and without characters that would move the cursor."""
    shown = text if len(text) <= 40 else text[:39] + "…"
    return repr(shown) if not shown.isprintable() or "'" in shown else f"'{shown}'"


_PREFIXES = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40,
}  # fmt: skip
_BYTES = {prefix + end: Decimal(factor) for prefix, factor in _PREFIXES.items() for end in ("", "b")}
MEMORY = Measure("a size of memory", _BYTES, "6GiB or 800MB")
BANDWIDTH = Measure(
    "a bandwidth", {**_BYTES, **{unit + "/s": factor for unit, factor in _BYTES.items()}}, "1.02TB/s or 510GB/s"
)
TIME = Measure(
    "a time",
    {"": Decimal(1), "s": Decimal(1), "min": Decimal(60)}
    | {"ms": Decimal("1e-3"), "us": Decimal("1e-6"), "µs": Decimal("1e-6"), "μs": Decimal("1e-6")},
    "18ms or 0.018",
)
NUMBER = Measure("a number", {"": Decimal(1)}, "120 or 5e9")


def parse_bytes(text: str) -> int:
    """``6GiB``, ``800MB``, ``1.5g`` or plain bytes; raises UsageError for anything else."""
    try:
        count = int(MEMORY.read(text))
    except ValueError as error:
        raise UsageError(str(error)) from error
    if count <= 0:
        raise UsageError("--memory must be more than nothing")
    return count
