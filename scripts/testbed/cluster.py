"""The machines of a test bed, where they are, and how the simulator sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from paper.clusters import trace_machines
from routing.plan.cluster import Link, ModelShape, Server
from routing.plan.hardware import BlockTime
from routing.settings import LINK_HANDLING_SECONDS
from routing.simulation import Job, ServerTime


@dataclass(frozen=True, slots=True)
class Machine:
    """One host with an emulated GPU."""

    name: str
    memory_bytes: float
    time: BlockTime
    """Of one of its blocks."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Machines that serve ``shape``; host number i is machine i, and the clients' host comes after the last."""

    shape: ModelShape
    machines: tuple[Machine, ...]
    delays: tuple[tuple[float, ...], ...]
    """Seconds one way between hosts."""

    @property
    def client(self) -> int:
        """The clients' host."""
        return len(self.machines)

    def times(self) -> tuple[ServerTime, ...]:
        """Computing of each machine; how long the ring is depends on the whole chain, see ring_seconds."""
        return tuple(ServerTime(0.0, 0.0, machine.time) for machine in self.machines)

    def ring_seconds(self, links: Sequence[Link]) -> float:
        """From the client through the machines of a chain and back: what each token takes beside computing."""
        hosts = [self.client, *(link.server for link in links), self.client]
        ways = sum(self.delays[source][destination] for source, destination in pairwise(hosts))
        return ways + LINK_HANDLING_SECONDS * len(links)

    def way_seconds(self, host: int) -> float:
        """From the client to a machine and back, and its handling: the ring of a chain of one."""
        return self.delays[self.client][host] + self.delays[host][self.client] + LINK_HANDLING_SECONDS

    def servers(self, jobs: Sequence[Job]) -> tuple[Server, ...]:
        """The machines as arXiv 2604.14993 plans with them: τc and τp of the mean job, τc by the round trip."""
        prompt = sum(job.input_tokens for job in jobs) / len(jobs)
        new = sum(job.output_tokens for job in jobs) / len(jobs)
        return tuple(
            Server(machine.name, machine.memory_bytes, self.way_seconds(host) * new, machine.time.seconds(prompt, new))
            for host, machine in enumerate(self.machines)
        )


def paper_machines(compute_factor: float) -> tuple[Machine, ...]:
    """The nine GPU slices of the paper's experiment; all computing times are multiplied by ``compute_factor``."""
    return tuple(
        Machine(f"{kind.name}-{number}", kind.memory_bytes, block)
        for number, (kind, block) in enumerate(trace_machines(compute_factor), start=1)
    )
