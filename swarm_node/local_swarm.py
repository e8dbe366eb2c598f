"""A swarm of real node processes on this machine: for the demo, and for whoever wants to watch one fail."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from dht.die_with_parent import bound_to_this_thread
from routing import Span
from routing.errors import SwarmError

ONLINE_SECONDS = 90.0
"""For a node to start, import, join, load and measure, several at once on a slow machine."""

STOP_SECONDS = 10.0
"""For a node to drain when nobody uses it."""


@dataclass(slots=True)
class NodeProcess:
    """One ``swarm node`` process. ``address`` is empty until it is online."""

    process: subprocess.Popen[bytes]
    span: Span | None
    identity: Path
    error_log: Path
    address: str = ""

    @property
    def peer_id(self) -> str:
        """Empty until the node is online."""
        return self.address.rpartition("/p2p/")[2]

    def kill(self) -> None:
        """Like a power cut: no draining, no goodbye."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask the node to drain and leave, and wait until its process has ended."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


class LocalSwarm:
    """Node processes that listen on the loopback interface, and a directory for their keys and logs.

    A context manager that owns them all; leaving it stops every node, at once if the body failed. On Linux they die
    with the thread that started them, however that ends.
    """

    def __init__(
        self,
        model: str,
        options: Sequence[str] = (),
        program: Sequence[str] = (sys.executable, "-m", "cli.main", "node"),
    ) -> None:
        """``options``: further arguments for every node, for example ``("--threads", "1")``.

        ``program``: what to run as a node; it takes the options of ``swarm node`` and prints what that prints.
        """
        self.model = model
        self._program = tuple(program)
        self.nodes: list[NodeProcess] = []
        self._options = tuple(options)
        self._directory = TemporaryDirectory(prefix="local-swarm-")
        self._started = 0

    def __enter__(self) -> LocalSwarm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [node for node in self.nodes if node.process.poll() is None]
        for node in running:
            node.process.send_signal(signal.SIGKILL if kind is not None else signal.SIGTERM)
        try:
            for node in running:
                node.stop()
        finally:
            for node in self.nodes:
                node.kill()
                assert node.process.stdout is not None
                node.process.stdout.close()
            self._directory.cleanup()

    @property
    def address(self) -> str:
        """Of the first node that is running: where others join."""
        return next(node.address for node in self.nodes if node.address and node.process.poll() is None)

    def start(self, spans: Sequence[Span | None], extra: Sequence[str] = ()) -> list[NodeProcess]:
        """Start one node for each span and return when all are online; None lets the node choose its blocks.

        Raises SwarmError with the node's own words if one ends or takes longer than ONLINE_SECONDS.
        """
        if not any(node.address and node.process.poll() is None for node in self.nodes):
            first = self._spawn(spans[0], ("--new-swarm", *extra))
            self._await_online(first)
            return [first, *(self.start(spans[1:], extra) if spans[1:] else [])]
        started = [self._spawn(span, ("--initial-peers", self.address, *extra)) for span in spans]
        for node in started:
            self._await_online(node)
        return started

    def restart(self, node: NodeProcess) -> NodeProcess:
        """Start a node that has ended once more, under its old identity and with its old blocks."""
        started = self._spawn(node.span, ("--initial-peers", self.address), node.identity)
        self._await_online(started)
        return started

    def _spawn(self, span: Span | None, extra: Sequence[str], identity: Path | None = None) -> NodeProcess:
        self._started += 1
        directory = Path(self._directory.name)
        command = [*bound_to_this_thread(), *self._program, "--model", self.model, "--host", "127.0.0.1"]
        identity = identity or directory / f"node-{self._started}.key"
        command += ["--identity", str(identity), *self._options, *extra]
        if span is not None:
            command += ["--blocks", str(span)]
        error_log = directory / f"node-{self._started}.log"
        with error_log.open("wb") as errors:
            # A session of its own: Ctrl-C in the terminal is for the owner, who then stops the nodes.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        node = NodeProcess(process, span, identity, error_log)
        self.nodes.append(node)
        return node

    def _await_online(self, node: NodeProcess) -> None:
        """Read the node's lines up to the one that says ONLINE."""
        assert node.process.stdout is not None
        descriptor = node.process.stdout.fileno()
        until = time.monotonic() + ONLINE_SECONDS
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while selector.select(max(0.0, until - time.monotonic())):
                data = os.read(descriptor, 65536)
                if not data:
                    node.process.wait()
                    raise SwarmError(f"a node did not start: {_last_line(node.error_log)}")
                text += data
                for line in text.decode(errors="replace").splitlines():
                    if line.startswith("ONLINE") and text.endswith(b"\n"):
                        node.address = next(word for word in line.split() if "/p2p/" in word)
                        return
        raise SwarmError(f"a node was not online within {ONLINE_SECONDS:.0f} s: {_last_line(node.error_log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
