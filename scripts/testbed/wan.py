"""A wide-area network on one machine: hosts are network namespaces, and one process carries all packets between them.

The delays are made in user space (`testbed.wan_forwarder`), as many kernels come without the module that would.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from routing.errors import NetworkError, UsageError
from testbed import wan_namespaces as namespaces
from testbed.wan_forwarder import Settings
from testbed.wan_links import Traffic

MOST_HOSTS = 500
"""The forwarder holds a descriptor for each, and `select` takes 1024 at most."""
LEAVE_SECONDS = 30.0


class Wan:
    """A context manager; hosts count from 0 and exist until it is left, or until the owner's process ends in any way.

    What still runs inside the hosts then is killed. Not for use from several threads at once.
    """

    def __init__(
        self, hosts: int, delays: Sequence[Sequence[float]], rate_bits: float, loss: float, prefix: str = "swarmbed"
    ) -> None:
        """Delays are in seconds one way, row to column; rate and loss share hold for each direction of each pair.

        Namespaces are named after the prefix and the forwarder's process id, so several test beds run side by side.
        Those of the same prefix that a killed test bed left behind are removed on entering. Raises UsageError.
        """
        if not 1 <= hosts <= MOST_HOSTS:
            raise UsageError(f"a test bed has 1 to {MOST_HOSTS} hosts, not {hosts}")
        if len(delays) != hosts or any(len(row) != hosts for row in delays):
            raise UsageError(f"delays between {hosts} hosts are {hosts} rows of {hosts} numbers")
        if not re.fullmatch(r"[a-z][a-z0-9]{0,19}", prefix):
            raise UsageError(f"{prefix!r} cannot start the names of namespaces: use 1 to 20 small letters and digits")
        matrix = [[float(delay) for delay in row] for row in delays]
        for row in matrix:
            for delay in row:
                _checked(delay=delay, rate_bits=rate_bits, loss=loss)
        self._settings = Settings(os.getpid(), prefix, matrix, rate_bits, loss)
        self._process: subprocess.Popen[str] | None = None

    @property
    def hosts(self) -> int:
        return len(self._settings.delays)

    @property
    def forwarder(self) -> int:
        """Id of the process that carries the packets, to measure what it costs."""
        return self._running().pid

    def __enter__(self) -> Self:
        """Raises UsageError if this machine or user cannot have such a network."""
        if reason := namespaces.missing():
            raise UsageError(reason)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-S", "-m", "testbed.wan_forwarder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
            start_new_session=True,  # Ctrl-C is for the owner, which still needs the network to end its nodes
        )
        try:
            self._ask(asdict(self._settings))
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()

    def address(self, host: int) -> str:
        """IPv4 address, the same in every test bed."""
        return namespaces.address(self._known(host))

    def command(self, host: int, arguments: Sequence[str]) -> list[str]:
        """What to run instead of ``arguments`` for that program to be on the host. It keeps its process id."""
        name = namespaces.name(self._settings.prefix, self._running().pid, self._known(host))
        return ["ip", "netns", "exec", name, *arguments]

    def set_delay(self, source: int, destination: int, delay: float) -> None:
        """Seconds in one direction from now on."""
        _checked(delay=delay)
        self._ask({"link": [self._known(source), self._known(destination)], "delay": float(delay)})

    def cut(self, host: int) -> None:
        """No packet comes from or to this host any more; what it says to itself is heard."""
        self._ask({"cut": self._known(host)})

    def heal(self, host: int) -> None:
        self._ask({"heal": self._known(host)})

    def traffic(self) -> Traffic:
        """What was carried since entering, and how late."""
        return Traffic(**self._ask({"traffic": True}))

    def _known(self, host: int) -> int:
        if not 0 <= host < self.hosts:
            raise UsageError(f"the test bed has hosts 0 to {self.hosts - 1}, not {host}")
        return host

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise UsageError("the network of the test bed exists only inside `with`")
        return self._process

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Returns once the forwarder has done it. Raises NetworkError if that has died."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise NetworkError("the network of the test bed has ended: see above, and start the test bed anew")
        answer: dict[str, Any] = json.loads(line)
        if error := answer.pop("error", None):
            raise UsageError(error)
        return answer

    def _leave(self) -> None:
        process, self._process = self._running(), None
        process.terminate()
        try:
            process.communicate(timeout=LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        try:  # nothing to do unless it was killed before it could
            namespaces.remove(namespaces.existing(self._settings.prefix, process.pid))
        except namespaces.NamespaceError as error:
            raise UsageError(str(error)) from error


def delays_from_rtts(
    rtts: Sequence[float] | npt.NDArray[np.float64], hosts: int, rng: np.random.Generator
) -> list[list[float]]:
    """Seconds one way, [i][j]: half a round trip drawn for each pair, the same both ways, 0 on the diagonal."""
    delays = np.zeros((hosts, hosts))
    pairs = np.triu_indices(hosts, 1)
    delays[pairs] = rng.choice(np.asarray(rtts, dtype=np.float64), len(pairs[0])) / 2
    matrix: list[list[float]] = (delays + delays.T).tolist()
    return matrix


def _checked(delay: float = 0.0, rate_bits: float = 1.0, loss: float = 0.0) -> None:
    if not 0 <= delay < math.inf:
        raise UsageError(f"a delay is 0 seconds or more, not {delay}")
    if not rate_bits > 0:
        raise UsageError(f"a rate is above 0 bits per second, not {rate_bits}")
    if not 0 <= loss <= 1:
        raise UsageError(f"a loss is a share from 0 to 1, not {loss}")
