"""The web application: groups of routes, behind what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router

from routing.errors import SwarmError
from swarm_node.gateway.chat import routes as chat_routes
from swarm_node.gateway.completions import routes as completions_routes
from swarm_node.gateway.doors import HostCheck, KeyCheck, RequestCount
from swarm_node.gateway.errors import ErrorBodies, ErrorBody, Problem, Refused, problem_of
from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.health import health_routes, metrics_routes
from swarm_node.gateway.messages import routes as messages_routes
from swarm_node.gateway.messages_events import anthropic_error
from swarm_node.gateway.models import routes as models_routes
from swarm_node.gateway.openapi import openapi_routes
from swarm_node.gateway.responses import routes as responses_routes
from swarm_node.gateway.static import routes as page_routes
from swarm_node.gateway.viewers import routes as picture_routes

RouteGroup = Callable[[Gateway], Sequence[BaseRoute]]
"""Each API is one: ``routes`` of its module."""

KEYED: Sequence[RouteGroup] = (
    chat_routes,
    completions_routes,
    responses_routes,
    messages_routes,
    models_routes,
    picture_routes,
    metrics_routes,
)
OPEN_TO_ALL: Sequence[RouteGroup] = (health_routes, page_routes)
ERROR_BODIES: Mapping[str, ErrorBody] = {"/v1/messages": anthropic_error}
"""Forms of errors other than OpenAI's, by the beginning of a path."""


def application(
    gateway: Gateway,
    keyed: Sequence[RouteGroup] = KEYED,
    open_to_all: Sequence[RouteGroup] = OPEN_TO_ALL,
    *,
    error_bodies: Mapping[str, ErrorBody] = ERROR_BODIES,
    allowed_origins: Sequence[str] = (),
    allowed_hosts: Collection[str] | None = None,
) -> Starlette:
    """The ASGI application of ``gateway``.

    ``keyed`` groups need an API key if the gateway has any, ``open_to_all`` never (a page, ``/health``).
    ``allowed_origins``: web pages of other hosts that may ask. ``allowed_hosts``: names by which the gateway may be
    called; None: any.
    """
    bodies = ErrorBodies(error_bodies)

    async def failed(request: Request, error: Exception) -> Response:
        response = bodies.respond(request, error)
        if response.status_code == 429:
            gateway.metrics.refusals.labels(problem_of(error).code or "").inc()
        return response

    async def refused_by_router(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = f"{request.method} {request.url.path}: {error.detail}; {_advice(request.url.path)}"
        problem = Problem(error.status_code, message, "invalid_request_error")
        response = bodies.respond(request, Refused(problem))
        response.headers.update(error.headers or {})
        return response

    async def client_left(request: Request, error: Exception) -> Response:
        return Response(status_code=499)

    free = [route for group in open_to_all for route in group(gateway)]
    behind_keys = [route for group in keyed for route in group(gateway)]
    free += openapi_routes([*behind_keys, *free])
    paths = {route.path for route in (*free, *behind_keys) if isinstance(route, Route)}
    middleware = [
        Middleware(RequestCount, metrics=gateway.metrics, paths=paths),
        Middleware(HostCheck, allowed=allowed_hosts, origins=allowed_origins, bodies=bodies),
    ]
    if allowed_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(allowed_origins),
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
            )
        )
    return Starlette(
        routes=[*free, Mount("", app=KeyCheck(Router(behind_keys), gateway.keys))],
        middleware=middleware,
        exception_handlers={
            HTTPException: refused_by_router,
            ClientDisconnect: client_left,
            SwarmError: failed,
            ExceptionGroup: failed,
            Exception: failed,
        },
    )


def _advice(path: str) -> str:
    """What whoever asks for a path that there is not may have meant."""
    if path.startswith("/v1/v1/"):
        return "the base URL of this client is without /v1"
    if path.startswith(("/chat/", "/completions", "/responses", "/models")):
        return "the base URL of this client ends in /v1"
    return "see /docs for what there is"
