"""Figure 7: the c that each criterion chooses, over the arrival rate."""

from __future__ import annotations

from paper.reserve_sweep import measure
from paper.settings import FAST_SHARE, SERVERS
from paper.study import Claim, Outcome, Row, Study, half_width, panels

CRITERIA = ("surrogate", "lower", "upper", "simulated")


def make(study: Study) -> Outcome:
    rates = study.scale.rates
    curves = measure(study, "figure 7", rates, study.scale.jobs, 77)
    rows: list[Row] = []
    steps: list[int] = []
    costs: list[str] = []
    for rate, each in zip(rates, curves, strict=True):
        places = {name: each.best(getattr(each, name)) for name in CRITERIA}
        steps.append(abs(places["lower"] - places["simulated"]))
        excess = each.excess(places["lower"])
        costs.append(f"{excess.mean():.2f} ± {half_width(excess.tolist()):.2f}")
        rows.append(
            {"arrival_rate": rate}
            | {name: each.reserves[place] for name, place in places.items()}
            | {f"response_at_{name}": float(each.simulated[:, place].mean()) for name, place in places.items()}
        )
    figure = panels(2)
    chosen, response = figure.axes
    for name, style in zip(CRITERIA, ("s:", "o-", "^--", "x-"), strict=True):
        chosen.plot(rates, [row[name] for row in rows], style, label=name)
        response.plot(rates, [row[f"response_at_{name}"] for row in rows], style, label=name)
    chosen.set(xlabel="λ (jobs/s)", ylabel="c*")
    response.set(xlabel="λ (jobs/s)", ylabel="simulated mean response at c* (s)")
    chosen.legend()
    study.write("fig7", rows, figure, f"Least mean of {study.scale.runs} clusters; J = {SERVERS}, η = {FAST_SHARE}")
    by_bound = [row["lower"] for row in rows]
    listed = ", ".join(f"{c} at {rate:g}" for c, rate in zip(by_bound, rates, strict=True))
    return Outcome(
        "Figure 7: c* over the arrival rate",
        (
            Claim("c* of the lower bound grows with λ", f"c* = {listed}", sorted(by_bound) == by_bound),
            Claim(
                "the lower bound's c is within one step of the simulated best c at every λ",
                f"steps {', '.join(map(str, steps))}; seconds above the best {', '.join(costs)}",
                max(steps) <= 1,
            ),
        ),
        "c* is the c whose mean over the clusters is least; only c whose chains carry λ on every cluster count. Steps "
        "are counted as in Figure 6. Where they differ, a small c leaves few slots on the fastest chain, and the "
        "lower bound supposes that a job moves there as soon as one is free.",
    )
