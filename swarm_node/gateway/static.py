"""The web page at ``/``: files that come with the package, under a policy that lets them run nothing but themselves."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from swarm_node.gateway.gateway import Gateway

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # What a model or a node says becomes text and never markup, whatever mistake the page's scripts may hold.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-cache",  # asked again each time and answered by 304: a page of two versions does not work
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class PageFile:
    """One file, read once: it is small."""

    def __init__(self, name: str, content: bytes) -> None:
        kind = TYPES[name[name.rindex(".") :]]
        self._content = content
        self._etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        self._headers = {**HEADERS, "etag": self._etag, "content-type": f"{kind}; charset=utf-8"}

    async def respond(self, request: Request) -> Response:
        if self._etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=self._headers)
        return Response(self._content, headers=self._headers)


def page_files() -> dict[str, bytes]:
    """By name."""
    folder = files("swarm_node.gateway") / "page"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def routes(gateway: Gateway) -> list[BaseRoute]:
    """Open to all: the page itself asks for a key."""
    found: list[BaseRoute] = []
    for name, content in page_files().items():
        path = "/" if name == "index.html" else f"/page/{name}"
        found.append(Route(path, PageFile(name, content).respond))
    return found
