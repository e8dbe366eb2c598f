"""``/v1/models``: which models can be asked for."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from swarm_node.gateway.errors import unknown_model
from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.operations import Operation


def routes(gateway: Gateway) -> list[BaseRoute]:
    started = int(time.time())

    def card(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": started, "owned_by": "swarm"}

    async def every(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [card(name) for name in gateway.models.names()]})

    async def one(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in gateway.models.names():
            raise unknown_model(name)
        return JSONResponse(card(name))

    return [
        Operation("GET", "/v1/models", every, summary="The models that can be asked for."),
        Operation("GET", "/v1/models/{name:path}", one, summary="One of them."),
    ]
