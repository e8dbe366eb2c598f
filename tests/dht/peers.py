"""Tools for tests with real daemons on loopback: identities, views, child processes, a deadline for every test."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import trio

from dht import Identity, Peer, open_peer
from process_counters import is_running
from routing import NodeState, NodeView, Span

LOOPBACK = "127.0.0.1"
ROOT = Path(__file__).parents[2]


def in_trio(seconds: float) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Run an async test under trio, failing after ``seconds``."""

    def decorate(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            async def main() -> None:
                with trio.fail_after(seconds):
                    await test(**fixtures)

            trio.run(main)

        return run

    return decorate


def local_peer(identity_path: Path, **options: Any) -> AbstractAsyncContextManager[Peer]:
    """A peer that listens on loopback only."""
    return open_peer(Identity.load_or_create(identity_path), host=LOOPBACK, **options)


def view_of(peer: Peer, **changes: Any) -> NodeView:
    """An unremarkable node."""
    fields: dict[str, Any] = {
        "peer_id": peer.peer_id,
        "addresses": peer.addresses,
        "state": NodeState.ONLINE,
        "span": Span(0, 4),
        "memory_bytes": 2**30,
        "block_bytes": 2**20,
        "token_bytes": 1024,
        "cache_tokens": 1000,
        "free_tokens": 900,
        "prefill_seconds": 1e-4,
        "decode_seconds": 2e-4,
        "running": 1,
        "version": "0.1.0",
    }
    return NodeView(**{**fields, **changes})


@contextmanager
def python(code: str, identity_path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs ``code`` with these arguments; killed at the end if it still runs.

    Its temporary files lie beside the identity, where pytest clears away what a killed process leaves.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(identity_path), *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "scripts"))),
            "TMPDIR": str(identity_path.parent),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    """What the process prints next; if it ends instead, the test fails with its last words."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return line.strip()


async def until_ended(process_ids: set[int]) -> None:
    """Return when none of the processes runs any more; the caller sets the deadline."""
    while any(is_running(process_id) for process_id in process_ids):
        await trio.sleep(0.01)
