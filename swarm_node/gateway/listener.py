"""Serves the web application on a port, until it is told to end."""

from __future__ import annotations

import logging
import signal
import socket
from functools import partial
from ipaddress import ip_address
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_with_hypercorn

from routing.errors import PortTaken, UsageError
from swarm_node.gateway.settings import BACKLOG, IDLE_SECONDS, SHUTDOWN_SECONDS

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""As a Host header names this machine."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free. Raises UsageError, PortTaken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host} is no address of this machine ({error}); use 127.0.0.1 or 0.0.0.0") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTaken(f"port {port} of {host} cannot be used ({error.strerror}); choose another --port") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a program on this machine finds it."""
    host, port = listener.getsockname()[:2]
    if ip_address(host).is_unspecified:
        host = "127.0.0.1" if listener.family == socket.AF_INET else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    application: Any, listener: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the ASGI ``application`` until SIGINT or SIGTERM; then answers under way have SHUTDOWN_SECONDS to end.

    Takes ``listener`` over. Started once it answers.
    """
    config = Config()
    config.backlog = BACKLOG
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = logging.getLogger("hypercorn.error")
    config.graceful_timeout = SHUTDOWN_SECONDS
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_SECONDS
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_with_hypercorn, application, config, shutdown_trigger=_told_to_end))
        task_status.started()


async def _told_to_end() -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        await anext(signals)
