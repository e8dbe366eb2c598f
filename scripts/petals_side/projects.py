"""The two projects as commands for node and client processes, and transformers beside them."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from petals_side.children import Child, Children

START_SECONDS = 90.0
"""For a node to be online and a client to be connected, eight of them at once on a slow machine."""

_READY = re.compile(r"^ready at (\S+)")
_ONLINE = re.compile(r"^ONLINE\b.* at (\S+/p2p/\S+)")


@dataclass(frozen=True, slots=True)
class RunningNode:
    process_id: int
    address: str
    seconds: float
    """From the start of its process until it was online."""


@dataclass(frozen=True, slots=True)
class Project:
    """One project."""

    name: str
    node: Callable[[str, str | None], Sequence[str]]
    """The command for a node that serves such blocks, in the swarm of a peer or in one of its own."""
    client: Callable[[str], Sequence[str]]
    """The command for a client process that joins through a peer."""
    environment: Mapping[str, str]
    children: Children
    gateway: Callable[[str], Sequence[str]] | None = None
    """The command for a process that joins through a peer and answers by HTTP, where the project has that."""
    asking: Callable[[str], Sequence[str]] | None = None
    """The command for a client process that asks the gateway at a URL."""

    @asynccontextmanager
    async def open_node(self, blocks: str, peer: str | None = None) -> AsyncIterator[RunningNode]:
        """A node that is online with ``blocks``; the first of a new swarm unless ``peer`` is another's address."""
        started = time.monotonic()
        command = self.node(blocks, peer)
        async with self.children.open(f"{self.name} node", command, self.environment, asked=False) as child:
            while not (match := _ONLINE.match(await child.line(START_SECONDS))):
                pass
            yield RunningNode(child.process_id, match[1], time.monotonic() - started)

    @asynccontextmanager
    async def open_client(self, peer: str) -> AsyncIterator[Child]:
        """A client process that has joined through ``peer``."""
        async with self.children.open(f"{self.name} client", self.client(peer), self.environment, asked=True) as child:
            await child.line(START_SECONDS)
            yield child

    @asynccontextmanager
    async def open_gateway(self, peer: str) -> AsyncIterator[tuple[Child, Child] | None]:
        """A gateway that has joined through ``peer``, and a client process that asks it; None if there are none."""
        if self.gateway is None or self.asking is None:
            yield None
            return
        name = f"{self.name} gateway"
        async with self.children.open(name, self.gateway(peer), self.environment, asked=False) as gateway:
            while not (match := _READY.match(await gateway.line(START_SECONDS))):
                pass
            command = self.asking(match[1])
            async with self.children.open(f"{name} client", command, self.environment, asked=True) as client:
                await client.line(START_SECONDS)
                yield gateway, client


def this_project(model: Path, dtype: str, folder: Path, children: Children) -> Project:
    def node(blocks: str, peer: str | None) -> list[str]:
        joining = ["--initial-peers", peer] if peer else ["--new-swarm"]
        identity = folder / f"{blocks.replace(':', '-')}.key"
        command = [sys.executable, "-m", "cli.main", "node", "--model", str(model), "--blocks", blocks]
        command += ["--identity", str(identity), "--dtype", dtype, "--threads", "1", "--host", "127.0.0.1"]
        return command + joining

    def client(peer: str) -> list[str]:
        return [sys.executable, "-m", "petals_side.client", "swarm", str(model), dtype, peer]

    def gateway(peer: str) -> list[str]:
        command = [sys.executable, "-m", "cli.main", "serve", "--model", str(model), "--initial-peers", peer]
        return [*command, "--dtype", dtype, "--threads", "1", "--port", "0"]

    def asking(url: str) -> list[str]:
        return [sys.executable, "-m", "petals_side.client", "http", str(model), dtype, url]

    return Project("swarm-node", node, client, environment(folder), children, gateway, asking)


def petals(python: Path, model: Path, dtype: str, folder: Path, children: Children) -> Project:
    def node(blocks: str, peer: str | None) -> list[str]:
        return [str(python), "-m", "petals_side.petals_server", str(model), dtype, blocks, *([peer] if peer else [])]

    def client(peer: str) -> list[str]:
        return [str(python), "-m", "petals_side.client", "petals", str(model), dtype, peer]

    return Project("petals", node, client, environment(folder) | {"PETALS_CACHE": str(folder / "petals")}, children)


@asynccontextmanager
async def open_transformers(model: Path, dtype: str, folder: Path, children: Children) -> AsyncIterator[Child]:
    """transformers alone, with the whole model in its process."""
    command = [sys.executable, "-m", "petals_side.client", "transformers", str(model), dtype]
    async with children.open("transformers", command, environment(folder), asked=True) as child:
        await child.line(START_SECONDS)
        yield child


def environment(folder: Path) -> dict[str, str]:
    """For every process: one thread, nothing from the Hub, and what it leaves on disk below ``folder``.

    Python may keep what it has compiled, as it does where nobody forbids it: nodes would start slower.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **inherited,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in Path(__file__).resolve().parents[1:3]),
    }
