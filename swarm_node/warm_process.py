"""A process that has imported everything and then only copies itself: imports are most of a program's start.

The owner uses WarmProcess. The other side is ``python -m swarm_node.warm_process SOCKET MODULE …``: it imports the
modules, and for each order it forks a copy, which runs one program to its end as a fresh interpreter would. It has one
thread, computes nothing and opens nothing, as only such a process may be copied.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Self

import numpy as np

from dht.die_with_parent import bound_to_this_thread, die_with
from routing.errors import SwarmError

LEAVE_SECONDS = 10.0
_ORDER_BYTES = 2**20
"""More than the longest order, which holds an environment."""


class WarmProcess:
    """A context manager that owns such a process and its copies, which are killed when it is left.

    So they are, on Linux, when the thread that entered it ends, however that happens, and when Ctrl-C interrupts an
    order. Threads may share it.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        """``modules``: what to import before it copies itself, from where this process would import it."""
        self._modules = tuple(modules)
        self._asking = threading.Lock()

    def __enter__(self) -> Self:
        self._log = TemporaryFile()  # closed when this is left
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*bound_to_this_thread(), sys.executable, "-m", __name__, str(theirs.fileno()), *self._modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                # The threads that OpenBLAS starts on import are in the way of a copy.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._orders.close()
        try:
            self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def program(self, module: str, *arguments: str) -> CopiedProgram:
        """The program ``python -m module``; a process's own arguments follow those given here.

        The module must have a ``main`` that takes no arguments and reads sys.argv. What is read from the environment
        on import has been read from that of the warm process.
        """
        return CopiedProgram(self, module, arguments)

    def start(self, module: str, arguments: Sequence[str], output: int, errors: int, given: Mapping[str, str]) -> Copy:
        """Raises SwarmError with the last words of the warm process if that has ended."""
        order = {"module": module, "arguments": [*arguments], "directory": os.getcwd(), "environment": {**given}}
        answer = self._ask(order, (output, errors))
        if answer is None:
            self._process.wait()
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").strip().splitlines()
            raise SwarmError(f"the process to copy has ended: {lines[-1] if lines else 'it said nothing'}")
        return Copy(self, answer)

    def reap(self, pid: int) -> int:
        """How a copy that has ended did so; only once for each."""
        code = self._ask({"reap": pid}, ())
        return -signal.SIGKILL if code is None else code  # with the one that it was copied from

    def _ask(self, order: Mapping[str, Any], descriptors: Sequence[int]) -> int | None:
        """None if the process has ended."""
        with self._asking:
            if self._orders.fileno() < 0:
                return None
            try:
                socket.send_fds(self._orders, [json.dumps(order).encode()], descriptors)
                answer = self._orders.recv(_ORDER_BYTES)
            except (BrokenPipeError, ConnectionResetError):
                return None
            except BaseException:
                self._orders.close()  # the answer that may still come would be taken for the next order's
                raise
        return int(answer) if answer else None


@dataclass(frozen=True, slots=True)
class CopiedProgram:
    """Program whose processes are copies."""

    warm: WarmProcess
    module: str
    arguments: tuple[str, ...]

    def start(
        self, arguments: Sequence[str], output: int, errors: int, environment: Mapping[str, str] | None = None
    ) -> Copy:
        given = os.environ if environment is None else environment
        return self.warm.start(self.module, [*self.arguments, *arguments], output, errors, given)


class Copy:
    """Process that is one. Owned by its WarmProcess."""

    def __init__(self, warm: WarmProcess, pid: int) -> None:
        self.pid = pid
        self._warm = warm
        self._code: int | None = None
        self._reaping = threading.Lock()
        self._handle = os.pidfd_open(pid)
        weakref.finalize(self, os.close, self._handle)

    def poll(self) -> int | None:
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._look(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, sig)

    def _look(self, seconds: float | None) -> int | None:
        if self._code is None:
            watched = select.poll()
            watched.register(self._handle, select.POLLIN)
            if not watched.poll(None if seconds is None else seconds * 1000):
                return None
            with self._reaping:
                if self._code is None:
                    self._code = self._warm.reap(self.pid)
        return self._code


def main() -> None:
    """The other side: the process that is copied, and in a copy the program."""
    descriptor, *modules = sys.argv[1:]
    with socket.socket(fileno=int(descriptor)) as orders:
        module = _serve(orders, modules)
    if module is not None:
        import_module(module).main()


def _serve(orders: socket.socket, modules: Sequence[str]) -> str | None:
    """In the original, copies it until the owner has gone: None. In a copy, the module to run, with all else set."""
    gc.disable()
    for module in modules:
        import_module(module)
    gc.freeze()  # a collection in a copy would write to, and so copy, all that is imported
    gc.enable()
    original = os.getpid()
    while True:
        data, descriptors, _, _ = socket.recv_fds(orders, _ORDER_BYTES, 2)
        if not data:
            return None
        match json.loads(data):
            case {"reap": pid}:
                answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            case {"module": module, "arguments": arguments, "directory": directory, "environment": environment}:
                answer = os.fork()
                if answer == 0:
                    die_with(original)
                    os.setsid()
                    for target, descriptor in enumerate(descriptors, start=1):
                        os.dup2(descriptor, target)
                        os.close(descriptor)
                    os.chdir(directory)
                    os.environ.clear()
                    os.environ.update(environment)
                    sys.argv = [module, *arguments]
                    # Python's own generator sees to it by itself; torch's begins alike in every fresh process, too.
                    np.random.seed()
                    return str(module)
                for descriptor in descriptors:
                    os.close(descriptor)
            case order:
                raise ValueError(f"unknown order {order}")
        orders.send(str(answer).encode())


if __name__ == "__main__":
    main()
