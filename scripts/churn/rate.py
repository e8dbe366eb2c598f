"""Jobs come twice as often from one moment to the next."""

from __future__ import annotations

from dataclasses import dataclass

from bench.shared.drawn_swarm import DrawnSwarm, best_rate
from churn.swarm import Why, placed_by_plan, plan_of
from routing.node.moves import forecast
from routing.settings import TURN_SECONDS

LOAD = 0.3
"""Share of the best rate of these servers at which jobs come before it doubles."""


@dataclass(frozen=True, slots=True)
class Doubled:
    """One swarm; response times are lower bounds on the mean, in seconds, infinite if not all jobs are served."""

    seed: int
    servers: int
    reserve_before: int
    """c of the central plan."""
    reserve_after: int
    before: float
    """Response time before the rate doubles."""
    unmoved: float
    """Right after it has."""
    moved: float
    """When none moves any more."""
    central: float
    """Of the central plan for the rate that has doubled."""
    moves: float
    """Per server."""
    hours: float
    """From the change to the last move."""


def double(seed: int) -> Doubled | None:
    """None if the servers cannot carry the rate at all."""
    drawn = DrawnSwarm(seed)
    rate = LOAD * best_rate(drawn.servers, drawn.model)
    swarm = placed_by_plan(drawn.model, drawn.servers, rate, seed)
    swarm.advance(60.0)
    before, planned = forecast(swarm.served()), plan_of(swarm.claimed())
    swarm.arrival_rate = 2 * rate
    unmoved, plan = forecast(swarm.served()), plan_of(swarm.claimed())
    if planned is None or plan is None:
        return None
    began = last_move = swarm.now
    waiting = list(swarm.present)
    while waiting:
        swarm.advance(swarm.now + TURN_SECONDS)
        member = swarm.draw.choice(waiting)
        if swarm.turn(member):
            waiting, last_move = list(swarm.present), swarm.now
        elif swarm.now > last_move + 2 * TURN_SECONDS:
            waiting.remove(member)
    return Doubled(
        seed,
        len(swarm.present),
        planned.reserve,
        plan.reserve,
        before.seconds,
        unmoved.seconds,
        forecast(swarm.served()).seconds,
        plan.bounds.lower,
        swarm.counts.moves[Why.SPEED] / len(swarm.present),
        (last_move - began) / 3600,
    )
