"""Child processes of the benchmark: asked and answering line by line, and ended whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from routing.errors import SwarmError

STOP_SECONDS = 10.0
"""For a process to end when it is asked to."""
GUARD = Path(__file__).with_name("guard.py")


class Child:
    """One process in a process group of its own. Owned by ``Children.open``, which ends the whole group."""

    def __init__(self, process: trio.Process, name: str, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._unread = b""

    @property
    def process_id(self) -> int:
        return self._process.pid

    async def line(self, seconds: float) -> str:
        """Its next line. Raises SwarmError with its last words if none comes in time."""
        assert self._process.stdout is not None
        with trio.move_on_after(seconds):
            while b"\n" not in self._unread:
                data = await self._process.stdout.receive_some()
                if not data:
                    raise SwarmError(f"{self.name} has ended: {self._last_words()}")
                self._unread += data
            line, _, self._unread = self._unread.partition(b"\n")
            return line.decode(errors="replace")
        raise SwarmError(f"{self.name} said nothing for {seconds:.0f} s: {self._last_words()}")

    async def ask(self, request: Mapping[str, object], seconds: float) -> Any:
        """Send one request; returns its answer. Raises SwarmError if none comes in time."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(request).encode() + b"\n")
        return json.loads(await self.line(seconds))

    async def stop(self) -> None:
        """Close its input or interrupt it, then end its group, by force in the end. Not stopped by cancellation."""
        process = self._process
        assert process.stdout is not None
        with trio.CancelScope(shield=True):
            if process.stdin is not None:
                await process.stdin.aclose()
            else:
                process.send_signal(signal.SIGINT)
            with trio.move_on_after(STOP_SECONDS):
                await process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await process.stdout.aclose()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"see {self._log}"


class Children:
    """Starts processes that do not outlive this one. Owned by ``open_children``."""

    def __init__(self, guard: subprocess.Popen[bytes], logs: Path) -> None:
        self._guard = guard
        self._logs = logs
        self._started = 0

    @asynccontextmanager
    async def open(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, asked: bool
    ) -> AsyncIterator[Child]:
        """Start ``command``; its standard error goes to a log of its own. It ends with the body.

        One that is ``asked`` reads requests from its standard input and ends with that; another ends when interrupted.
        """
        self._started += 1
        log = self._logs / f"{self._started:03d}-{name.replace(' ', '-')}.log"
        with log.open("wb") as errors:
            process = await trio.lowlevel.open_process(
                list(command),
                stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                start_new_session=True,
            )
        self._tell(f"+{process.pid}\n")
        child = Child(process, name, log)
        try:
            yield child
        finally:
            await child.stop()
            self._tell(f"-{process.pid}\n")

    def _tell(self, line: str) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.write(line.encode())
        self._guard.stdin.flush()


@contextmanager
def open_children(logs: Path) -> Iterator[Children]:
    """Logs are written to the folder ``logs``."""
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(GUARD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert guard.stdin is not None
    try:
        yield Children(guard, logs)
    finally:
        guard.stdin.close()
        guard.wait(STOP_SECONDS)
