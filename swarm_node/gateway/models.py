"""``/v1/models``: which models can be asked for, in one form that OpenAI's clients and Anthropic's both read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from swarm_node.gateway.errors import unknown_model
from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.operations import Operation


def routes(gateway: Gateway) -> list[BaseRoute]:
    started = datetime.now(UTC).replace(microsecond=0)

    def card(name: str) -> dict[str, Any]:
        openai = {"id": name, "object": "model", "created": int(started.timestamp()), "owned_by": "swarm"}
        return {**openai, "type": "model", "display_name": name, "created_at": started.isoformat()}

    async def every(request: Request) -> Response:
        names = list(gateway.models.names())
        first, last = (names[0], names[-1]) if names else (None, None)
        pages = {"has_more": False, "first_id": first, "last_id": last}
        return JSONResponse({"object": "list", "data": [card(name) for name in names], **pages})

    async def one(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in gateway.models.names():
            raise unknown_model(name)
        return JSONResponse(card(name))

    return [
        Operation("GET", "/v1/models", every, summary="The models that can be asked for."),
        Operation("GET", "/v1/models/{name:path}", one, summary="One of them."),
    ]
