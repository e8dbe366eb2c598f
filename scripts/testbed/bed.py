"""One run of the test bed: node processes on emulated GPUs, clients that replay a trace, and the end of them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulation.gpu import EmulatedGpu
from emulation.model import EmulatedCard, EmulatedModel
from process_counters import children, cpu_seconds
from routing.errors import SwarmError
from routing.span import Span
from swarm_node.program import LoggedProcess
from swarm_node.warm_process import WarmProcess
from testbed.clients import REPLAY_SPEC, ReplaySpec
from testbed.cluster import Cluster
from testbed.node import NodeSpec
from testbed.node_processes import BedNodes, Network, on_host, own_cache
from testbed.outcomes import Outcome, read_outcomes
from testbed.policies import Placed, Settings
from testbed.wan import Wan

PROGRAMS = ("testbed.node", "testbed.clients")
"""What the copied process has imported."""
LOOK_SECONDS = 0.2
AT_ONCE = 4
"""Nodes that join at the same time where they are told their blocks. Where they choose, each waits for those before."""


class Loopback:
    """All hosts are this machine: no namespaces and no delays, so no root."""

    def address(self, host: int) -> str:
        return "127.0.0.1"

    def namespace(self, host: int) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class WideArea:
    """Hosts in the namespaces of a Wan."""

    wan: Wan

    def address(self, host: int) -> str:
        return self.wan.address(host)

    def namespace(self, host: int) -> str | None:
        return self.wan.command(host, ())[-1]


@dataclass(frozen=True, slots=True)
class Options:
    """How the bed is run."""

    shared: bool
    """Whether a GPU computes one thing at a time; see EmulatedGpu."""
    self_organised: bool
    """Whether nodes choose their blocks themselves, and move."""
    clients: int
    load_seconds: float
    """For one block."""
    settle_seconds: float
    """Longest wait, before the first request, for nodes to find their places in the network."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one policy gave."""

    outcomes: Sequence[Outcome]
    spans: tuple[Span | None, ...]
    """The blocks of each machine when the requests began to come."""
    moves: int
    """Of nodes to other blocks."""
    seconds: float
    """That the replay took."""
    cpu: dict[str, float]
    """Processor seconds meanwhile, by what used them."""


def run(
    network: Network,
    cluster: Cluster,
    placed: Placed,
    settings: Settings,
    options: Options,
    folder: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> Run:
    """Start the nodes, replay the jobs, and end all processes. Logs and specs stay in ``folder``; ``tell`` is told how
    far it is.

    Raises SwarmError with a process's own words if it fails.
    """
    hosts = [host for host, span in enumerate(placed.spans) if span is not None]
    choosing = options.self_organised and placed.may_choose
    specs = [(host, _node(network, cluster, placed, options, choosing, host)) for host in hosts]
    with WarmProcess(PROGRAMS) as warm, BedNodes(warm, network, folder) as nodes:
        nodes.start(specs, 1 if choosing else AT_ONCE)
        spans: list[Span | None] = [None] * len(placed.spans)
        for host, node in zip(hosts, nodes.nodes, strict=True):
            spans[host] = node.span
        replayed = ReplaySpec(
            card=EmulatedCard(cluster.shape),
            initial_peers=tuple(node.address for node in nodes.nodes),
            hosts={node.peer_id: host for host, node in zip(hosts, nodes.nodes, strict=True)},
            delays=cluster.delays,
            jobs=settings.jobs,
            routing=placed.routing,
            reservation=placed.reservation,
            clients=options.clients,
            settle_seconds=options.settle_seconds,
        )
        tell("all nodes are online")
        outcomes, seconds, cpu = _replay(warm, on_host(network, cluster.client), replayed, nodes, folder, tell)
        return Run(outcomes, tuple(spans), nodes.moves, seconds, cpu)


def _node(network: Network, cluster: Cluster, placed: Placed, options: Options, choosing: bool, host: int) -> NodeSpec:
    gpu = EmulatedGpu(cluster.machines[host].time, options.shared)
    return NodeSpec(
        model=EmulatedModel(cluster.shape, pace=gpu, load_seconds=options.load_seconds),
        memory_bytes=placed.memory_bytes[host],
        identity=Path(),
        host=network.address(host),
        blocks=None if choosing else placed.spans[host],
        initial_peers=(),
    )


def _replay(
    warm: WarmProcess,
    on_its_host: Sequence[str],
    spec: ReplaySpec,
    nodes: BedNodes,
    folder: Path,
    tell: Callable[[str], None],
) -> tuple[Sequence[Outcome], float, dict[str, float]]:
    """The outcomes, how long they took, and what that cost."""
    path, written = folder / "replay.json", folder / "outcomes.csv"
    path.write_bytes(REPLAY_SPEC.dump_json(spec))
    logs = folder / "clients"
    logs.mkdir()
    began, before = time.monotonic(), _cpu(nodes, None)
    arguments = [*on_its_host, str(path), str(written)]
    clients = LoggedProcess(warm.program("testbed.clients"), arguments, logs / "words", own_cache(logs))
    used, told = before, 0
    while clients.process.poll() is None:
        time.sleep(LOOK_SECONDS)
        used = _cpu(nodes, clients.process.pid)
        nodes.check()
        for line in (lines := clients.output.splitlines())[told:]:
            tell(line)
        told = len(lines)
    if clients.process.poll():
        raise SwarmError(f"the clients failed: {clients.last_words}")
    seconds = time.monotonic() - began
    return read_outcomes(written), seconds, {what: used[what] - before.get(what, 0.0) for what in used}


def _cpu(nodes: BedNodes, clients: int | None) -> dict[str, float]:
    """Seconds up to now. The clients' are lost with their process: those since the last look are missing."""
    used = {"nodes": cpu_seconds(nodes.process_ids), "their daemons": cpu_seconds(nodes.daemons)}
    if clients is not None:
        used |= {"clients": cpu_seconds([clients]), "their daemon": cpu_seconds(children({clients}))}
    return used
