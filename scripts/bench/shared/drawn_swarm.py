"""Swarms such as people may have, drawn at random: machines, the model that they serve, and how many jobs come."""

from __future__ import annotations

import random
from collections.abc import Sequence

from routing.plan.cluster import ModelShape, Server, hosted_blocks, total_rate
from routing.plan.gbp_cr import gbp_cr
from routing.plan.gca import gca


def draw_server(draw: random.Random, number: int) -> Server:
    """A machine such as people have: a GPU of 8 to 80 GB, some of it in use, on a home's or a campus's network."""
    return Server(
        f"server{number}",
        draw.choice([8, 12, 16, 24, 24, 40, 48, 80]) * 1e9 * draw.uniform(0.6, 0.95),
        draw.uniform(0.02, 0.3),
        draw.choice([0.05, 0.1, 0.1, 0.2, 0.3]) * draw.uniform(0.8, 1.2),
    )


def best_rate(servers: Sequence[Server], model: ModelShape) -> float:
    """About as many jobs per second as these servers can serve, however they are placed."""
    placements = (gbp_cr(servers, model, reserve) for reserve in (1, 2, 4, 8, 16))
    return max(total_rate(gca(servers, model, placement.spans)) for placement in placements)


class DrawnSwarm:
    """5 to 60 unlike servers that hold every block with the cache of two jobs; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        draw = self.random = random.Random(seed)
        """What else is drawn of this swarm comes from it too."""
        self.model = ModelShape(draw.choice([24, 32, 40, 60, 80]), 1e9, draw.choice([0.03e9, 0.1e9]))
        self.servers = self._servers()
        while sum(hosted_blocks(server, self.model, 2) for server in self.servers) < 1.05 * self.model.blocks:
            self.servers = self._servers()
        self.load = draw.choice([0.1, 0.3, 0.5, 0.7])
        """Share of the best rate at which jobs come."""
        self.arrival_rate = self.load * best_rate(self.servers, self.model)

    def _servers(self) -> tuple[Server, ...]:
        return tuple(draw_server(self.random, number) for number in range(self.random.randint(5, 60)))
