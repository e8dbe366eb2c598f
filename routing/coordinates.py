"""Network coordinates: round trips between any two peers, told from a few that were measured.

Vivaldi with height vectors (Dabek et al., SIGCOMM 2004): a peer's place in a plane stands for where it is in the core
of the network, its height for the way through its access link, which all of its round trips take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from routing.settings import (
    COORDINATE_ERROR_GAIN,
    COORDINATE_GAIN,
    COORDINATE_HEIGHT_MIN,
    COORDINATE_SECONDS_MAX,
    UNPLACED_ONE_WAY_SECONDS,
)

_SAME_PLACE = 1e-9
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A place in the network; all lengths in seconds."""

    x: float = 0.0
    y: float = 0.0
    height: float = COORDINATE_HEIGHT_MIN
    error: float = 1.0
    """How far predictions are off as a share of the measured round trip: 1 for a peer that knows nothing yet."""

    @property
    def placed(self) -> bool:
        """Whether anything was measured."""
        return self.error < 1.0

    def one_way(self, other: Coordinate) -> float:
        """Seconds that a message takes to a peer at ``other``: half of the predicted round trip."""
        if not (self.placed and other.placed):
            return UNPLACED_ONE_WAY_SECONDS
        return (math.hypot(self.x - other.x, self.y - other.y) + self.height + other.height) / 2

    def after(self, other: Coordinate, round_trip: float) -> Coordinate:
        """This peer's place, now that a message to a peer at ``other`` and back took ``round_trip`` seconds.

        The less is known here and the more there, the farther it moves. Round trips that are not above 0 or absurdly
        long, and places that are not finite, change nothing: they come from strangers or from a stalled machine.
        """
        values = (other.x, other.y, other.height, other.error, round_trip)
        if not all(map(math.isfinite, values)) or not 0 < round_trip <= COORDINATE_SECONDS_MAX:
            return self
        apart = math.hypot(self.x - other.x, self.y - other.y)
        predicted = apart + self.height + other.height
        trust = self.error / (self.error + max(other.error, 1e-3))
        sample_error = abs(predicted - round_trip) / round_trip
        gain = COORDINATE_ERROR_GAIN * trust
        error = min(sample_error * gain + self.error * (1 - gain), 0.999)
        force = COORDINATE_GAIN * trust * (round_trip - predicted)
        away_x, away_y = _direction(self, other, apart, round_trip)
        # The heights take their share of the force, as if the way between the two were one line through both. Peers in
        # the same place must part first, or heights would stand for all of the network.
        share = (self.height + other.height) / predicted if apart > _SAME_PLACE else 0.0
        return Coordinate(
            _bounded(self.x + force * (1 - share) * away_x),
            _bounded(self.y + force * (1 - share) * away_y),
            min(max(self.height + force * share, COORDINATE_HEIGHT_MIN), COORDINATE_SECONDS_MAX),
            error,
        )


class Places:
    """The coordinates of many peers, for the ways from several of them to one at once; peers are known by index."""

    def __init__(self, coordinates: Sequence[Coordinate]) -> None:
        self._x = np.array([coordinate.x for coordinate in coordinates])
        self._y = np.array([coordinate.y for coordinate in coordinates])
        self._height = np.array([coordinate.height for coordinate in coordinates])
        self._placed = np.array([coordinate.placed for coordinate in coordinates])

    def one_way(self, some: slice, other: int) -> npt.NDArray[np.float64]:
        """Seconds from each of ``some`` to ``other``, as Coordinate.one_way() says."""
        apart = np.hypot(self._x[some] - self._x[other], self._y[some] - self._y[other])
        told = (apart + self._height[some] + self._height[other]) / 2
        return np.where(self._placed[some] & self._placed[other], told, UNPLACED_ONE_WAY_SECONDS)


def _direction(here: Coordinate, there: Coordinate, apart: float, round_trip: float) -> tuple[float, float]:
    """The unit vector away from ``there``; peers in the same place part in the direction of the clock's noise."""
    if apart > _SAME_PLACE:
        return (here.x - there.x) / apart, (here.y - there.y) / apart
    angle = math.tau * (round_trip * 1e7 % 1.0)
    return math.cos(angle), math.sin(angle)


def _bounded(value: float) -> float:
    return min(max(value, -COORDINATE_SECONDS_MAX), COORDINATE_SECONDS_MAX)
