"""The node processes of a test bed: started, watched until they are online, and ended whatever happens."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from process_counters import children
from routing.errors import SwarmError
from routing.span import Span
from testbed.forker import Forked, Forker, Program
from testbed.node import NODE_SPEC, NodeSpec

ONLINE_SECONDS = 180.0
"""For a node to join, load and measure on a machine that has other work too."""
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.1

_ONLINE = re.compile(r"^ONLINE blocks (\d+:\d+) .* at (\S+/p2p/\S+)", re.MULTILINE)


class Network(Protocol):
    """Hosts for programs."""

    def address(self, host: int) -> str:
        """IPv4 address."""

    def namespace(self, host: int) -> str | None:
        """Name of its network namespace, None for this machine's own."""


@dataclass(slots=True)
class NodeProcess:
    """One node; ``address`` is empty and ``span`` None until it is online."""

    process: Forked
    address: str = ""
    span: Span | None = None
    """Blocks when it came online."""

    @property
    def peer_id(self) -> str:
        return self.address.rpartition("/p2p/")[2]

    @property
    def moves(self) -> int:
        """How often it has gone to other blocks."""
        return self.process.output.count("MOVING to")

    def look(self) -> bool:
        """Whether it is online. Raises SwarmError with its own words if it has ended."""
        if match := _ONLINE.search(self.process.output):
            self.span, self.address = Span.parse(match[1]), match[2]
        self.check()
        return bool(self.address)

    def check(self) -> None:
        """Raises SwarmError with its own words if it has ended."""
        if not self.process.running():
            raise SwarmError(f"a node has ended: {self.process.last_words}")


class NodeProcesses:
    """A context manager that owns the nodes it starts; leaving it ends them, at once if the body failed."""

    def __init__(self, forker: Forker, network: Network, folder: Path) -> None:
        """``folder`` is for their keys, specs and logs, and stays."""
        self.nodes: list[NodeProcess] = []
        self._forker = forker
        self._network = network
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            return  # the forker ends them
        for node in self.nodes:
            node.process.send(signal.SIGTERM)
        until = time.monotonic() + STOP_SECONDS
        for node in self.nodes:
            node.process.wait(max(0.0, until - time.monotonic()))

    @property
    def process_ids(self) -> set[int]:
        return {node.process.pid for node in self.nodes}

    @property
    def daemons(self) -> set[int]:
        """Ids of the nodes' libp2p daemons."""
        return children(self.process_ids)

    def start(self, specs: Sequence[tuple[int, NodeSpec]], at_once: int) -> None:
        """A node for each host and spec, whose ``initial_peers`` and ``identity`` are filled in; returns when all are
        online. The first starts the swarm, the others join ``at_once`` at a time.

        Raises SwarmError with the node's own words if one ends or takes longer than ONLINE_SECONDS.
        """
        first, *others = specs
        self._await(self._spawn(*first, peers=()))
        peers = (self.nodes[0].address,)
        for start in range(0, len(others), at_once):
            for node in [self._spawn(host, spec, peers) for host, spec in others[start : start + at_once]]:
                self._await(node)

    def _spawn(self, host: int, spec: NodeSpec, peers: tuple[str, ...]) -> NodeProcess:
        folder = self._folder / f"node-{host}"
        folder.mkdir(parents=True)
        path = folder / "spec.json"
        path.write_bytes(NODE_SPEC.dump_json(replace(spec, identity=folder / "identity.key", initial_peers=peers)))
        program = Program("node", (path,), self._network.namespace(host), folder)
        node = NodeProcess(self._forker.start(program))
        self.nodes.append(node)
        return node

    def _await(self, node: NodeProcess) -> None:
        until = time.monotonic() + ONLINE_SECONDS
        while not node.look():
            if time.monotonic() > until:
                words = node.process.last_words
                raise SwarmError(f"a node was not online within {ONLINE_SECONDS:.0f} s: {words}")
            time.sleep(LOOK_SECONDS)
