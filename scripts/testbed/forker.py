"""Starts the programs of a test bed as copies of a process that has imported everything: imports are most of a start.

The owner uses Forker. The other side is ``python -m testbed.forker``, which reads a line of JSON for each order from
its standard input and answers with one. When that ends, whatever happened to the owner, it kills what it has started.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
import torch
import typer
from pydantic import TypeAdapter

from routing.errors import SwarmError
from testbed import clients, node, wan_namespaces

log = logging.getLogger(__name__)

LEAVE_SECONDS = 10.0
LOOK_SECONDS = 0.05
OUTPUT, ERRORS = _WRITTEN = ("output.txt", "errors.txt")
_FOLDERS = Path(__file__).resolve().parents[2], Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and where."""

    name: str
    """``node`` or ``clients``: a module here."""
    arguments: tuple[Path, ...]
    namespace: str | None
    """Name of its network namespace; None for the owner's."""
    folder: Path
    """Gets OUTPUT and ERRORS, and what the program remembers for its next start."""


_PROGRAM = TypeAdapter(Program)


class Forked:
    """A program that a Forker has started, and that ends with it at the latest."""

    def __init__(self, forker: Forker, pid: int, folder: Path) -> None:
        self.pid = pid
        self.code: int | None = None
        """How it ended: its exit code, or the negative number of a signal. None as far as is known."""
        self._forker = forker
        self._folder = folder

    @property
    def output(self) -> str:
        return (self._folder / OUTPUT).read_text(errors="replace")

    @property
    def last_words(self) -> str:
        """The last line of its errors."""
        lines = (self._folder / ERRORS).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def running(self) -> bool:
        if self.code is None:
            self.code = self._forker.ask({"poll": self.pid})["code"]
        return self.code is None

    def send(self, number: signal.Signals) -> None:
        """Its id cannot be another's: only running() lets go of it."""
        if self.running():
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended by then."""
        until = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > until:
                return False
            time.sleep(LOOK_SECONDS)
        return True


class Forker:
    """A context manager; leaving it kills what still runs."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "testbed.forker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _FOLDERS)), "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the owner, who then ends the programs
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def start(self, program: Program) -> Forked:
        program.folder.mkdir(parents=True, exist_ok=True)
        for name in _WRITTEN:
            (program.folder / name).touch()  # for a look before the copy has come so far
        answer = self.ask({"start": _PROGRAM.dump_python(program, mode="json")})
        return Forked(self, answer["pid"], program.folder)

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Raises SwarmError if the process has died."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise SwarmError("the process that starts the test bed's programs has ended: see above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    """The other side. Single-threaded, as only such a process may be copied."""
    started: set[int] = set()
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    try:
        while line := orders.readline():
            match json.loads(line):
                case {"start": program}:
                    pid = os.fork()
                    if pid == 0:
                        _become(_PROGRAM.validate_python(program), (orders.fileno(), answers.fileno()))
                    started.add(pid)
                    answer: dict[str, int | None] = {"pid": pid}
                case {"poll": pid}:
                    ended, status = os.waitpid(pid, os.WNOHANG)
                    answer = {"code": os.waitstatus_to_exitcode(status) if ended else None}
                    started -= {ended}
                case order:
                    raise ValueError(f"unknown order {order}")
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()
    finally:
        for pid in started:
            os.kill(pid, signal.SIGKILL)


def _become(program: Program, others: Sequence[int]) -> NoReturn:
    """In the copy: run the program to its end. Nothing of the original's loop or end happens here."""
    code = 1
    try:
        for descriptor in others:
            os.close(descriptor)
        os.setsid()
        if program.namespace is not None:
            wan_namespaces.enter(program.namespace)
        _redirect(program.folder)
        os.environ["XDG_CACHE_HOME"] = str(program.folder)
        # Python's own generator sees to it by itself that two copies do not draw the same.
        np.random.seed(int.from_bytes(os.urandom(4)))
        torch.manual_seed(int.from_bytes(os.urandom(4)))
        if program.name == "node":
            node.main(*program.arguments)
        else:
            clients.main(*program.arguments)
        code = 0
    except typer.Exit as end:
        code = end.exit_code
    except Exception:
        log.exception("%s failed", program.name)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(folder: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    opened = [nothing, *(os.open(folder / name, flags, 0o644) for name in _WRITTEN)]
    for target, descriptor in enumerate(opened):
        os.dup2(descriptor, target)
        os.close(descriptor)


if __name__ == "__main__":
    main()
