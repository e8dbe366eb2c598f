"""Figure 6: mean response time over c, and what would have chosen c."""

from __future__ import annotations

import numpy as np

from paper.reserve_sweep import Curves, measure
from paper.settings import ARRIVAL_RATE, FAST_SHARE, SERVERS
from paper.study import Claim, Outcome, Row, Study, half_width, panels

MORE_JOBS = 2
"""Times the jobs of other figures, since neighbouring values of c differ by little."""
BUSY_RATE = 1.0
"""λ of the second panel, at which waiting matters."""


def make(study: Study) -> Outcome:
    rates = (ARRIVAL_RATE, BUSY_RATE)
    curves = measure(study, "figure 6", rates, MORE_JOBS * study.scale.jobs, 66)
    rows: list[Row] = []
    claims: list[Claim] = []
    figure = panels(len(rates))
    for axes, rate, each in zip(figure.axes, rates, curves, strict=True):
        claims += _claims(each, rate)
        rows += _rows(each, rate)
        shown = [place for place in range(len(each.reserves)) if np.isfinite(each.simulated[:, place]).all()]
        x = [each.reserves[place] for place in shown]
        for label, values, style in (
            ("simulated", each.simulated, "o-"),
            ("lower bound", each.lower, "--"),
            ("upper bound", each.upper, ":"),
        ):
            line = axes.plot(x, values.mean(axis=0)[shown], style, label=label, markersize=3)[0]
            place = each.best(values)
            axes.plot(each.reserves[place], values.mean(axis=0)[place], "*", color=line.get_color(), markersize=11)
        slots = axes.twinx()
        surrogate = each.surrogate.mean(axis=0)
        slots.plot(x, surrogate[shown], "-", color="grey", alpha=0.6)
        slots.set_ylabel("c·K(c) (grey)")
        axes.set(title=f"λ = {rate:g}", xlabel="c", ylabel="mean response (s)")
        axes.legend(fontsize=8)
    caption = f"Mean of {study.scale.runs} clusters; J = {SERVERS}, η = {FAST_SHARE}. Stars: least"
    study.write("fig6", rows, figure, caption)
    return Outcome(
        "Figure 6: how much cache to reserve",
        tuple(claims),
        "Several c may lead to the same placement; the smallest stands for all, and a step is one to the neighbouring "
        f"placement. All c get the same jobs on the same clusters. λ = {BUSY_RATE:g} is ours: at λ = {ARRIVAL_RATE:g} "
        "about two jobs run at a time and waiting is rare. Simulated curves are flat near their least; how many c "
        "cannot be told from the best one is counted above, by the paired interval over clusters. At λ = "
        f"{BUSY_RATE:g} the surrogate needs several chains; c·K(c) then jumps with the whole number K, and its least "
        "is no guide.",
    )


def _claims(curves: Curves, rate: float) -> list[Claim]:
    best, lower = curves.best(curves.simulated), curves.best(curves.lower)
    upper, surrogate = curves.best(curves.upper), curves.best(curves.surrogate)
    reserves = curves.reserves
    excess = curves.excess(lower)
    equal = [
        place
        for place in range(len(reserves))
        if np.isfinite(curves.simulated[:, place]).all()
        and curves.excess(place).mean() <= max(half_width(curves.excess(place).tolist()), 0.0)
    ]
    steps = np.abs(curves.lower.argmin(axis=1) - curves.simulated.argmin(axis=1))
    return [
        Claim(
            f"the lower bound's c is within one step of the simulated best c (λ = {rate:g})",
            f"c = {reserves[lower]} by the bound, {reserves[best]} simulated: {abs(lower - best)} steps, "
            f"{excess.mean():.3f} ± {half_width(excess.tolist()):.3f} s apart; {len(equal)} values of c cannot be told "
            f"from the best; within one step on {int((steps <= 1).sum())} of {len(steps)} single clusters",
            abs(lower - best) <= 1,
        ),
        Claim(
            f"the surrogate reserves too little, the upper bound too much (λ = {rate:g})",
            f"c = {reserves[surrogate]} by the surrogate ({_above(curves, surrogate)}), {reserves[upper]} by the upper "
            f"bound ({_above(curves, upper)})",
            reserves[surrogate] < reserves[best] < reserves[upper],
        ),
    ]


def _above(curves: Curves, place: int) -> str:
    return f"{curves.excess(place).mean():.2f} s above the best"


def _rows(curves: Curves, rate: float) -> list[Row]:
    return [
        {
            "arrival_rate": rate,
            "c": reserve,
            "surrogate": float(curves.surrogate[:, place].mean()),
            "lower": float(curves.lower[:, place].mean()),
            "upper": float(curves.upper[:, place].mean()),
            "simulated": float(curves.simulated[:, place].mean()),
            "simulated_above_best": float(curves.excess(place).mean()),
            "half_interval": half_width(curves.excess(place).tolist()),
        }
        for place, reserve in enumerate(curves.reserves)
        if np.isfinite(curves.simulated[:, place]).all()
    ]
