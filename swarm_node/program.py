"""A program of this project and the processes that run it: started fresh here, or copied from one that is warm."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dht.die_with_parent import bound_to_this_thread
from routing.errors import SwarmError

STOP_SECONDS = 10.0
"""For a node to drain when nobody uses it."""

LOOK_SECONDS = 0.02


class Process(Protocol):
    """A running program, as subprocess.Popen has it. It is killed when its owner's thread or process ends."""

    pid: int

    def poll(self) -> int | None:
        """How it ended: its exit code, or the negative number of a signal. None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The same once it has ended. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""

    def send_signal(self, sig: int, /) -> None:
        """Nothing happens to one that has ended."""


class Program(Protocol):
    """What can be started any number of times."""

    def start(
        self, arguments: Sequence[str], output: int, errors: int, environment: Mapping[str, str] | None = None
    ) -> Process:
        """A process in a session of its own: Ctrl-C in the terminal is for the owner, who then stops it.

        It writes to the descriptors ``output`` and ``errors``, reads nothing, works in the owner's directory and has
        the owner's environment unless given one.
        """


@dataclass(frozen=True, slots=True)
class FreshProgram:
    """Starts an interpreter that imports what it needs."""

    command: tuple[str, ...]
    """Begins with a path; a process's own arguments follow it."""

    def start(
        self, arguments: Sequence[str], output: int, errors: int, environment: Mapping[str, str] | None = None
    ) -> Process:
        return subprocess.Popen(
            [*bound_to_this_thread(), *self.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=os.environ if environment is None else environment,
            start_new_session=True,
        )


class LoggedProcess:
    """A process whose words go to files. Whoever makes it stops it."""

    def __init__(
        self, program: Program, arguments: Sequence[str], logs: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start one. What it prints goes to ``logs`` with the suffix ``.out``, its errors to that with ``.err``."""
        self._output, self._errors = logs.with_suffix(".out"), logs.with_suffix(".err")
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self.process = program.start(arguments, output.fileno(), errors.fileno(), environment)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text(errors="replace")

    @property
    def last_words(self) -> str:
        """The last line of its errors."""
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def await_words(self, pattern: re.Pattern[str], seconds: float, what: str) -> re.Match[str]:
        """What it prints, once that matches. Raises SwarmError about ``what`` if it ends or takes longer."""
        until = time.monotonic() + seconds
        while not (match := pattern.search(self.output)):
            if self.process.poll() is not None:
                raise SwarmError(f"{what} did not start: {self.last_words}")
            if time.monotonic() > until:
                raise SwarmError(f"{what} was not online within {seconds:.0f} s: {self.last_words}")
            time.sleep(LOOK_SECONDS)
        return match

    def kill(self) -> None:
        """Like a power cut: no draining, no goodbye."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end, which a node does when it has drained, and wait for that; after ``seconds`` it is killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
