"""A third of a swarm crashes at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.shared.drawn_swarm import DrawnSwarm
from churn.member import Member, Pace
from churn.swarm import Swarm, Why, placed_by_plan
from routing.plan.cluster import hosted_blocks
from swarm_node.node.settings import LOAD_SECONDS

VANISH_SHARE = 0.3
DRAWS = 20
LONGEST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Vanished:
    """One swarm of which 30% crashed; seconds are counted from then and do not hold the loading time."""

    seed: int
    announce_seconds: float
    record_seconds: float
    look_seconds: float
    servers: int
    draws: int
    """How often 30% were drawn until blocks went missing."""
    missing: int
    """Blocks that nobody was left to host."""
    faded: float
    """When the last record of those that crashed faded."""
    covered: float
    """When all blocks were served again, less LOAD_SECONDS; infinite if they were not after ten minutes."""
    moves: float
    """Per server that was left."""
    afresh: bool
    """Whether all started afresh."""
    uncovered: int


def vanish(seed: int, pace: Pace, apart: float = 0.0) -> Vanished | None:
    """None if those left host all blocks or cannot, whichever 30% are drawn."""
    drawn = DrawnSwarm(seed)
    swarm = placed_by_plan(drawn.model, drawn.servers, drawn.arrival_rate, seed, pace, apart)
    swarm.advance(60.0)
    share = round(VANISH_SHARE * len(swarm.present))
    drawings = (swarm.draw.sample(swarm.present, share) for _ in range(DRAWS))
    found = next((pair for pair in enumerate(drawings, start=1) if _matters(swarm, pair[1])), None)
    if found is None:
        return None
    draws, crashed = found
    faded = max(member.expires for member in crashed) - swarm.now
    for member in crashed:
        swarm.vanish(member)
    missing, left, began = len(swarm.served().missing()), len(swarm.present), swarm.now
    while swarm.served().missing() and swarm.now < began + LONGEST_SECONDS:
        swarm.advance(swarm.now + 0.1)
    covered = math.inf if swarm.served().missing() else swarm.now - began - LOAD_SECONDS
    moves = swarm.counts.moves
    return Vanished(
        seed,
        pace.announce,
        pace.record,
        pace.look,
        left + len(crashed),
        draws,
        missing,
        faded,
        covered,
        sum(moves.values()) / left,
        moves[Why.FRESH_START] > 0,
        swarm.counts.uncovered,
    )


def _matters(swarm: Swarm, crashed: list[Member]) -> bool:
    """Whether blocks go missing with these, and the others have the memory to host them."""
    left = [member for member in swarm.present if member not in crashed]
    hosted = {block for member in left for block in member.span.blocks()}
    held = sum(hosted_blocks(member.server, swarm.model, 1) for member in left)
    return len(hosted) < swarm.model.blocks <= held
