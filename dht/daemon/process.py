"""The daemon as an operating-system process: how it is started, watched and ended."""

from __future__ import annotations

import errno
import logging
import os
import socket
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from ipaddress import ip_address

import trio

from dht.die_with_parent import bound_to_this_thread
from dht.settings import DAEMON_STOP_POLL_SECONDS, DAEMON_STOP_SECONDS
from routing.errors import DaemonError, PortTaken, UsageError

log = logging.getLogger(__name__)


class DaemonProcess:
    """A running p2pd.

    Owned by ``open_daemon``, which must call ``stop``. On Linux the kernel kills it when the thread that started it
    ends, however that ends; elsewhere it ends by itself when its control connection breaks. Its output must be read
    on (``watch``), or it would block on its own log.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        program = str(files("hivemind.hivemind_cli") / "p2pd")
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*bound_to_this_thread(), program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                env={"GOLOG_LOG_LEVEL": "error", **os.environ},
                start_new_session=True,  # Ctrl-C is for us: sessions are drained through the daemon
            )
        except OSError as error:
            os.close(reading)
            raise DaemonError(f"cannot start the libp2p daemon {program}: {error.strerror}; reinstall") from error
        finally:
            os.close(writing)
        self._output = trio.lowlevel.FdStream(reading)
        self._unread = b""
        self._last_line = ""

    async def wait_until_ready(self) -> None:
        """Return when the daemon answers. Raises DaemonError with its last words, PortTaken if they are that."""
        while (line := await self._next_line()) is not None:
            if line.startswith("Peer ID:"):
                return
        if "address already in use" in self._last_line:
            raise PortTaken("the port is used by another program; choose another with --port, or stop that program")
        raise DaemonError(f"the libp2p daemon did not start: {self._last_line or 'it said nothing'}")

    async def watch(self) -> None:
        """Log what the daemon says. Raises DaemonError when it ends; never returns."""
        while (line := await self._next_line()) is not None:
            log.debug("p2pd: %s", line)
        raise DaemonError(f"the libp2p daemon ended: {self._last_line or 'it said nothing'}; start again")

    async def stop(self) -> None:
        """End the process, by force if it takes long. Not stopped by cancellation."""
        with trio.CancelScope(shield=True):
            self._process.terminate()
            with trio.move_on_after(DAEMON_STOP_SECONDS):
                while self._process.poll() is None:
                    await trio.sleep(DAEMON_STOP_POLL_SECONDS)
            self._process.kill()
            self._process.wait()
            await self._output.aclose()

    async def _next_line(self) -> str | None:
        """The next line of the daemon's output, None when the process has ended."""
        while b"\n" not in self._unread:
            data = await self._output.receive_some(65536)
            if not data:
                return None
            self._unread = (self._unread + data)[-65536:]
        line, _, self._unread = self._unread.partition(b"\n")
        text = line.decode(errors="replace").strip()
        self._last_line = text or self._last_line
        return text


def check_port(host: str, port: int) -> None:
    """Raise PortTaken if another program listens there, UsageError if this machine has no such address.

    The daemon would not notice the first: it opens its port for sharing, so two daemons would each get a part of the
    calls.
    """
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(
                    f"port {port} is used by another program; choose another with --port, or stop that program"
                ) from None
            if error.errno == errno.EADDRNOTAVAIL:
                raise UsageError(f"{host} is no address of this machine; give one of its own, or 0.0.0.0") from None
            raise DaemonError(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port") from None
