"""``/health`` and ``/metrics``: for whoever operates the gateway."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.operations import Operation


def health_routes(gateway: Gateway) -> list[BaseRoute]:
    """Open to all: it tells nothing but that the gateway runs."""

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return [Operation("GET", "/health", health, summary="Whether the gateway answers.")]


def metrics_routes(gateway: Gateway) -> list[BaseRoute]:
    async def metrics(request: Request) -> Response:
        return Response(gateway.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return [Operation("GET", "/metrics", metrics, summary="Numbers for Prometheus.")]
