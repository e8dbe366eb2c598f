"""Servers that decide for themselves, from what they saw some time ago."""

from __future__ import annotations

import pytest

from bench.convergence import converge


@pytest.mark.parametrize("seed", [2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (4, 22, 23))])
def test_a_small_swarm_comes_to_rest_near_the_central_plan_and_never_leaves_a_block(seed: int) -> None:
    result = converge(seed)

    assert result.rested
    assert result.reached < 1.05
    assert result.uncovered == 0
