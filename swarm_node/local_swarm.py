"""A swarm of real node processes on this machine: for the demo, and for whoever wants to watch one fail."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from routing import Span
from swarm_node.program import STOP_SECONDS, FreshProgram, LoggedProcess, Program

ONLINE_SECONDS = 90.0
"""For a node to start, import, join, load and measure, several at once on a slow machine."""

NODE = FreshProgram((sys.executable, "-m", "cli.main", "node"))
"""``swarm node``."""

_ONLINE = re.compile(r"^ONLINE blocks (\d+:\d+) .* at (\S+/p2p/\S+).*\n", re.MULTILINE)


class NodeProcess(LoggedProcess):
    """One process of a node, just started. ``address`` is empty until it is online."""

    def __init__(
        self,
        program: Program,
        arguments: Sequence[str],
        logs: Path,
        identity: Path,
        span: Span | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``span``: the blocks that the arguments tell it to serve, None if it chooses."""
        super().__init__(program, arguments, logs, environment)
        self.identity = identity
        self.span = span
        """The blocks it was told to serve; of one that chooses, those when it came online."""
        self.address = ""

    @property
    def peer_id(self) -> str:
        """Empty until the node is online."""
        return self.address.rpartition("/p2p/")[2]

    @property
    def serving(self) -> bool:
        """Whether it has come online and still runs."""
        return bool(self.address) and self.process.poll() is None

    def await_online(self, seconds: float = ONLINE_SECONDS) -> None:
        """Raises SwarmError with the node's own words if it ends or takes longer than ``seconds``."""
        match = self.await_words(_ONLINE, seconds, "a node")
        self.span, self.address = self.span or Span.parse(match[1]), match[2]


class NodeProcesses:
    """A context manager that owns its nodes; leaving it stops them, at once if the body failed.

    On Linux they die with the thread that started their program, however that ends.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.process.send_signal(signal.SIGTERM if kind is None else signal.SIGKILL)
        until = time.monotonic() + STOP_SECONDS
        try:
            for node in self.nodes:
                with suppress(subprocess.TimeoutExpired):
                    node.process.wait(max(0.0, until - time.monotonic()))
        finally:
            for node in self.nodes:
                node.kill()


class LocalSwarm(NodeProcesses):
    """Nodes that listen on the loopback interface, and a directory for their keys and logs that goes with them."""

    def __init__(self, model: str, options: Sequence[str] = (), program: Program = NODE) -> None:
        """``options``: further arguments for every node, for example ``("--threads", "1")``.

        ``program``: what to run as a node; it takes the options of ``swarm node`` and prints what that prints.
        """
        super().__init__()
        self.model = model
        self._program = program
        self._options = tuple(options)
        self._directory = TemporaryDirectory(prefix="local-swarm-")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._directory.cleanup()

    @property
    def address(self) -> str:
        """Of the first node that is running: where others join."""
        return next(node.address for node in self.nodes if node.serving)

    def start(self, spans: Sequence[Span | None], extra: Sequence[str] = ()) -> list[NodeProcess]:
        """Start one node for each span and return when all are online; None lets the node choose its blocks.

        Raises SwarmError with the node's own words if one ends or takes longer than ONLINE_SECONDS.
        """
        if not any(node.serving for node in self.nodes):
            # A swarm of its own, whatever peers the environment names.
            first = self._spawn(spans[0], ("--new-swarm", "--initial-peers", "", *extra))
            first.await_online()
            return [first, *(self.start(spans[1:], extra) if spans[1:] else [])]
        started = [self._spawn(span, ("--initial-peers", self.address, *extra)) for span in spans]
        for node in started:
            node.await_online()
        return started

    def restart(self, node: NodeProcess) -> NodeProcess:
        """Start a node that has ended once more, under its old identity and with its old blocks."""
        started = self._spawn(node.span, ("--initial-peers", self.address), node.identity)
        started.await_online()
        return started

    def _spawn(self, span: Span | None, extra: Sequence[str], identity: Path | None = None) -> NodeProcess:
        path = Path(self._directory.name) / f"node-{len(self.nodes) + 1}"
        identity = identity or path.with_suffix(".key")
        arguments = ["--model", self.model, "--host", "127.0.0.1", "--identity", str(identity), *self._options, *extra]
        if span is not None:
            arguments += ["--blocks", str(span)]
        node = NodeProcess(self._program, arguments, path, identity, span)
        self.nodes.append(node)
        return node
