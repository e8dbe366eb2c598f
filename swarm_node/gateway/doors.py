"""What a request passes before its API sees it: whom the gateway may be called by, who asks, and a count."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swarm_node.gateway.errors import ErrorBodies, Problem, Refused
from swarm_node.gateway.keys import Keys
from swarm_node.gateway.metrics import Metrics


class KeyCheck:
    """Lets who has a key through, and notes whose request it is."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["key"] = self._keys.whose(_given_key(Headers(scope=scope)))
        await self._app(scope, receive, send)


class HostCheck:
    """Turns away what a web page of another host sends through its reader's browser.

    A gateway without keys trusts who reaches it. Any page may send to 127.0.0.1, and one whose name suddenly points
    there (DNS rebinding) may read the answers too: the Host and Origin headers tell.
    """

    def __init__(
        self, app: ASGIApp, allowed: Collection[str] | None, origins: Sequence[str], bodies: ErrorBodies
    ) -> None:
        """``allowed``: host names without port; None lets everything through. ``bodies``: of refusals."""
        self._app = app
        self._allowed = allowed
        self._origins = origins
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._allowed is not None:
            headers = Headers(scope=scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            if _name(host) not in self._allowed:
                here = f"http://127.0.0.1:{scope['server'][1]}"
                message = f"this gateway is not called '{_name(host)}'; use {here}, or start it with keys"
                await self._refuse(message, scope, receive, send)
                return
            if origin is not None and not self._welcome(origin, host):
                message = f"pages of {origin} may not ask here; start the gateway with --allow-origin {origin}"
                await self._refuse(message, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refuse(self, message: str, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._bodies.respond(Request(scope), Refused(Problem(403, message, "permission_error")))
        await response(scope, receive, send)

    def _welcome(self, origin: str, host: str) -> bool:
        if "*" in self._origins or origin in self._origins:
            return True
        try:
            return urlsplit(origin).netloc == host
        except ValueError:
            return False


class RequestCount:
    """Counts requests by path and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        """``paths``: those to tell apart; all others are one, since clients invent them."""
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"] if scope["path"] in self._paths else "other"
                self._metrics.requests.labels(path, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)


def _given_key(headers: Headers) -> str | None:
    """OpenAI's clients send a bearer token, Anthropic's a header of its own."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else headers.get("x-api-key")


def _name(host: str) -> str:
    """Without port, in small letters; an IPv6 address in its brackets."""
    end = host.rfind("]") + 1
    return (host[:end] if end else host.partition(":")[0]).lower()
