"""What every c gives on one cluster: the surrogate, both bounds and a simulation, for Figures 6 and 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paper.clusters import Cell
from paper.settings import SIMULATED_MODEL, WARM_UP
from paper.study import Study
from routing.plan.cluster import hosted_blocks, total_rate
from routing.plan.gbp_cr import chains_for_rate, gbp_cr
from routing.plan.gca import gca
from routing.plan.reserve import TARGET_LOAD, reserves
from routing.plan.response_time import response_time_bounds
from routing.simulation import fixed_chain_policy, mean_times, poisson_jobs, simulate

Values = npt.NDArray[np.float64]


class Point(NamedTuple):
    """One placement: the smallest c that leads to it stands for all."""

    reserve: int
    surrogate: float
    """Infinite where the disjoint chains do not carry λ/ρ̄."""
    lower: float
    """Seconds, like the next two; infinite where the chains do not carry λ."""
    upper: float
    simulated: float


def sweep(cell: Cell) -> tuple[Point, ...]:
    """All placements of a cluster, by rising c, with the same jobs for each."""
    jobs = poisson_jobs(cell.rate, cell.jobs, np.random.default_rng(cell.seed))
    times = mean_times(cell.servers)
    points: list[Point] = []
    before: tuple[int, ...] = ()
    for reserve in reserves(cell.servers, SIMULATED_MODEL):
        counts = tuple(hosted_blocks(server, SIMULATED_MODEL, reserve) for server in cell.servers)
        if counts == before:
            continue
        before = counts
        placement = gbp_cr(cell.servers, SIMULATED_MODEL, reserve)
        needed = chains_for_rate(placement, cell.rate / (TARGET_LOAD * reserve))
        surrogate = float("inf") if needed is None else float(reserve * needed)
        chains = gca(cell.servers, SIMULATED_MODEL, placement.spans)
        if cell.rate >= total_rate(chains):
            points.append(Point(reserve, surrogate, float("inf"), float("inf"), float("inf")))
            continue
        bounds = response_time_bounds(chains, cell.rate)
        rng = np.random.default_rng(0)  # join the fastest free chain draws nothing
        summary = simulate(fixed_chain_policy("jffc", chains), jobs, times, rng).summary(WARM_UP)
        points.append(Point(reserve, surrogate, bounds.lower, bounds.upper, summary.response.mean))
    return tuple(points)


@dataclass(frozen=True, slots=True)
class Curves:
    """Arrays of shape [runs, placements]; column k belongs to ``reserves[k]``."""

    reserves: tuple[int, ...]
    surrogate: Values
    lower: Values
    upper: Values
    simulated: Values

    def best(self, values: Values) -> int:
        """The placement with the least mean over the runs (the first, of equals)."""
        return int(values.mean(axis=0).argmin())

    def excess(self, place: int) -> Values:
        """Simulated seconds of a placement above those of the best one on average, for each run."""
        difference: Values = self.simulated[:, place] - self.simulated[:, self.best(self.simulated)]
        return difference


def measure(study: Study, title: str, rates: Sequence[float], jobs: int, figure: int) -> list[Curves]:
    """Curves for each rate, on the same clusters."""
    clusters = study.clusters(6)
    cells = [
        Cell(cluster, rate, jobs, (study.seed, figure, run)) for rate in rates for run, cluster in enumerate(clusters)
    ]
    return [_curves(runs) for runs in study.run_groups(title, sweep, cells, len(clusters))]


def _curves(runs: Sequence[tuple[Point, ...]]) -> Curves:
    # How many blocks a server holds depends on its kind and c alone, so all runs have the same values of c.
    reserves_of_all = {tuple(point.reserve for point in run) for run in runs}
    assert len(reserves_of_all) == 1, "clusters of the same kinds have the same placements"
    values = np.array([[point[1:] for point in run] for run in runs])
    return Curves(reserves_of_all.pop(), *(values[:, :, column] for column in range(4)))
