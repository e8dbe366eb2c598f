"""What became of each request of a replayed trace, and the CSV that keeps it."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

NAN = float("nan")


@dataclass(slots=True)
class Outcome:
    """One request; times are seconds since the replay began, NaN for what never came."""

    number: int
    arrival: float
    """When it was due."""
    prompt_tokens: int
    new_tokens: int
    started: float = NAN
    """Its first chain was open: its wait was over."""
    first_token: float = NAN
    ended: float = NAN
    hops: str = ""
    """Of its last chain: ``host:start:end``, first blocks first."""
    chains: int = 0
    """Opened: more than one where it had to begin anew."""
    refusals: int = 0
    """Attempts that failed before a chain was open, as far as its client saw them one by one."""
    wrong: int = 0
    """Tokens that came back without having passed every block once."""
    computing: float = 0.0
    """Seconds of computing that the client waited for by itself."""
    failure: str = ""

    @property
    def over(self) -> bool:
        return bool(self.failure) or not math.isnan(self.ended)

    @property
    def complete(self) -> bool:
        """It has all of its tokens, and each has passed every block once."""
        return self.over and not self.failure and self.wrong == 0


Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of all complete requests."""

    response: Seconds
    wait: Seconds
    service: Seconds

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Times:
        done = [outcome for outcome in outcomes if outcome.complete]
        arrival = np.array([outcome.arrival for outcome in done])
        started = np.array([outcome.started for outcome in done])
        ended = np.array([outcome.ended for outcome in done])
        return cls(ended - arrival, started - arrival, ended - started)


def write_outcomes(path: Path, outcomes: Iterable[Outcome]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Outcome)])
        writer.writeheader()
        writer.writerows(asdict(outcome) for outcome in outcomes)


def read_outcomes(path: Path) -> Sequence[Outcome]:
    kinds: dict[str, Any] = {"int": int, "float": float, "str": str}
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            Outcome(**{field.name: kinds[str(field.type)](row[field.name]) for field in fields(Outcome)})
            for row in csv.DictReader(stream)
        ]
