"""``swarm serve`` as a test runs it, and what its nodes say of themselves."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

import trio

from routing import Snapshot
from routing.errors import SwarmError
from swarm_node.client import open_client
from swarm_node.model import ModelSource
from swarm_node.program import LoggedProcess, Program
from tests.swarm.runs import OPTIONS

READY_SECONDS = 60.0


class GatewayProcess(LoggedProcess):
    """One gateway. Whoever makes it stops it."""

    def __init__(
        self,
        program: Program,
        model: Path,
        address: str,
        logs: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        arguments = ("--model", str(model), "--initial-peers", address, "--port", "0", "--timeout", "5", *OPTIONS)
        super().__init__(program, (*arguments, *options), logs, environment)
        self.url = ""
        """Ends in /v1; empty until it is ready."""

    def await_ready(self) -> None:
        """Raises SwarmError with its own words if it ends, or takes too long."""
        until = time.monotonic() + READY_SECONDS
        while not (match := re.search(r"^ready at (\S+)$", self.output, re.MULTILINE)):
            if self.process.poll() is not None or time.monotonic() > until:
                raise SwarmError(f"the gateway did not start: {self.last_words}")
            time.sleep(0.02)
        self.url = match[1]


def until_free(model: Path, address: str, seconds: float) -> None:
    """Wait until every node says that it serves nobody. Raises trio.TooSlowError."""

    async def look() -> None:
        source = ModelSource.open(str(model))
        async with open_client(source, [address], timeout=0.0, notice=lambda _: None) as client:
            with trio.fail_after(seconds):
                while not _free(await client.current_swarm()):
                    await trio.sleep(0.05)

    trio.run(look)


def _free(snapshot: Snapshot) -> bool:
    return all(node.running == node.waiting == 0 for node in snapshot.nodes)
