"""The node processes of a test bed: copies of a warm process, each on its host of the network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from process_counters import children
from routing.errors import SwarmError
from swarm_node.local_swarm import NodeProcess, NodeProcesses
from swarm_node.warm_process import WarmProcess
from testbed.node import NODE_SPEC, NodeSpec

ONLINE_SECONDS = 180.0
"""For a node to join, load and measure on a machine that has other work too."""


class Network(Protocol):
    """Hosts for programs."""

    def address(self, host: int) -> str:
        """IPv4 address."""

    def namespace(self, host: int) -> str | None:
        """Name of its network namespace, None for this machine's own."""


class BedNodes(NodeProcesses):
    """A context manager that owns the nodes it starts; leaving it stops them, at once if the body failed."""

    def __init__(self, warm: WarmProcess, network: Network, folder: Path) -> None:
        """``folder`` is for their keys, specs and logs, and stays."""
        super().__init__()
        self._program = warm.program("testbed.node")
        self._network = network
        self._folder = folder

    @property
    def process_ids(self) -> set[int]:
        return {node.process.pid for node in self.nodes}

    @property
    def daemons(self) -> set[int]:
        """Ids of the nodes' libp2p daemons."""
        return children(self.process_ids)

    @property
    def moves(self) -> int:
        """How often nodes have gone to other blocks."""
        return sum(node.output.count("MOVING to") for node in self.nodes)

    def check(self) -> None:
        """Raises SwarmError with its own words if one has ended."""
        for node in self.nodes:
            if node.process.poll() is not None:
                raise SwarmError(f"a node has ended: {node.last_words}")

    def start(self, specs: Sequence[tuple[int, NodeSpec]], at_once: int) -> None:
        """A node for each host and spec, whose ``initial_peers`` and ``identity`` are filled in; returns when all are
        online. The first starts the swarm, the others join ``at_once`` at a time.

        Raises SwarmError with the node's own words if one ends or takes longer than ONLINE_SECONDS.
        """
        first, *others = specs
        self._spawn(*first, peers=()).await_online(ONLINE_SECONDS)
        peers = (self.nodes[0].address,)
        for start in range(0, len(others), at_once):
            for node in [self._spawn(host, spec, peers) for host, spec in others[start : start + at_once]]:
                node.await_online(ONLINE_SECONDS)

    def _spawn(self, host: int, spec: NodeSpec, peers: tuple[str, ...]) -> NodeProcess:
        folder = self._folder / f"node-{host}"
        folder.mkdir(parents=True)
        path, identity = folder / "spec.json", folder / "identity.key"
        path.write_bytes(NODE_SPEC.dump_json(replace(spec, identity=identity, initial_peers=peers)))
        arguments = [*on_host(self._network, host), str(path)]
        node = NodeProcess(self._program, arguments, folder / "words", identity, environment=own_cache(folder))
        self.nodes.append(node)
        return node


def on_host(network: Network, host: int) -> list[str]:
    """What tells a program of the test bed where it runs."""
    namespace = network.namespace(host)
    return [] if namespace is None else ["--namespace", namespace]


def own_cache(folder: Path) -> Mapping[str, str]:
    """The environment of a program that remembers for its next start nothing but what lies in ``folder``."""
    return {**os.environ, "XDG_CACHE_HOME": str(folder)}
