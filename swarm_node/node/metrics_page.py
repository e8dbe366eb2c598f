"""The page at which Prometheus reads a node's metrics."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from routing.errors import PortTaken, UsageError
from swarm_node.node.metrics import registry_of
from swarm_node.node.settings import METRICS_CONNECTIONS
from swarm_node.node.view import Standing

log = logging.getLogger(__name__)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket for serve_metrics(), closed with the body. Raises PortTaken, UsageError for an address not ours."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        opened = socket.create_server((host, port), family=family, backlog=METRICS_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} is used by another program; choose another with --metrics-port"
            raise PortTaken(message) from None
        message = f"cannot serve metrics at {host} port {port}: {error.strerror}; change --metrics-host or its port"
        raise UsageError(message) from None
    with opened:
        yield opened


async def serve_metrics(standing: Callable[[], Standing], at: socket.socket) -> None:
    """Answer ``GET /metrics`` with what ``standing`` says at that moment, until cancelled; it takes ``at`` over."""
    config = Config()
    config.bind = [f"fd://{at.detach()}"]
    config.accesslog = None
    config.errorlog = log
    registry = registry_of(standing)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    app = Starlette(routes=[Route("/metrics", metrics)])
    await serve(app, config, shutdown_trigger=trio.sleep_forever, mode="asgi")  # type: ignore[arg-type]
