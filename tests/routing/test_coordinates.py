"""Round trips told from coordinates."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import Coordinate
from routing.settings import COORDINATE_SECONDS_MAX, UNPLACED_ONE_WAY_SECONDS


def test_peers_that_measure_a_few_others_tell_the_round_trips_to_all() -> None:
    draw = random.Random(1)
    places = [(draw.uniform(0, 0.05), draw.uniform(0, 0.05), draw.uniform(0.001, 0.005)) for _ in range(20)]

    def truth(one: int, other: int) -> float:
        (x, y, height), (far_x, far_y, far_height) = places[one], places[other]
        return math.hypot(x - far_x, y - far_y) + height + far_height

    coordinates = [Coordinate() for _ in places]
    for _ in range(150):
        for one in range(20):
            other = draw.choice([peer for peer in range(20) if peer != one])
            noisy = truth(one, other) * draw.uniform(1.0, 1.1)
            coordinates[one] = coordinates[one].after(coordinates[other], noisy)

    errors = sorted(
        abs(2 * coordinates[one].one_way(coordinates[other]) / truth(one, other) - 1)
        for one, other in itertools.combinations(range(20), 2)
    )
    assert errors[len(errors) // 2] < 0.1
    assert errors[len(errors) * 9 // 10] < 0.25


def test_a_peer_that_measured_nothing_is_taken_for_a_typical_one() -> None:
    assert Coordinate().one_way(Coordinate(error=0.1)) == UNPLACED_ONE_WAY_SECONDS


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_an_absurd_round_trip_changes_nothing(seconds: float) -> None:
    here = Coordinate(0.01, 0.02, 0.001, 0.5)
    assert here.after(Coordinate(error=0.1), seconds) == here


bounded = st.floats(-COORDINATE_SECONDS_MAX, COORDINATE_SECONDS_MAX)
coordinates = st.builds(Coordinate, bounded, bounded, st.floats(0, COORDINATE_SECONDS_MAX), st.floats(0, 1))


@given(coordinates, coordinates, st.floats(1e-6, COORDINATE_SECONDS_MAX))
def test_whatever_others_claim_a_coordinate_stays_within_bounds(
    here: Coordinate, there: Coordinate, seconds: float
) -> None:
    after = here.after(there, seconds)
    assert max(abs(after.x), abs(after.y), after.height) <= COORDINATE_SECONDS_MAX
    assert after.height > 0
    assert 0 <= after.error < 1
