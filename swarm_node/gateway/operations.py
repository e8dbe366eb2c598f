"""A route that says what its requests hold: it checks them, and the OpenAPI description is made from it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import trio
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from swarm_node.gateway.errors import Problem, Refused, bad_request
from swarm_node.gateway.settings import BODY_BYTES, BODY_SECONDS

LONGEST_TAG = 64
"""Characters of what a client sent that an error repeats."""

_FIELD = re.compile(r"\w+")
"""Not so are pydantic's names of types in a union."""
_LARGE_NUMBER = re.compile(rb"\d\.?[eE]\+?\d{3}|\d{300}")

Body = TypeVar("Body", bound=BaseModel)


class Operation(Route):
    """One path and method of an API."""

    def __init__(
        self,
        method: str,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        *,
        summary: str,
        body: type[BaseModel] | None = None,
    ) -> None:
        """``body``: what its JSON bodies hold; read them with ``checked_body``."""
        super().__init__(path, endpoint, methods=[method])
        self.method = method
        self.summary = summary
        self.body = body


async def checked_body(request: Request, kind: type[Body]) -> Body:
    """The request's JSON body. Raises Refused: 400 with the first field that cannot be right, 413, or 408."""
    raw = await _read(request)
    try:
        body = kind.model_validate_json(raw)
    except ValidationError as error:
        first = _telling(error.errors(include_input=False, include_url=False))
        where = ".".join(str(part) for part in first["loc"] if _FIELD.fullmatch(str(part)))
        what = first["msg"].removeprefix("Value error, ")
        if first["type"] == "union_tag_invalid":
            tag, known = first["ctx"]["tag"], first["ctx"]["expected_tags"]
            what = f"'{tag[:LONGEST_TAG]}' is not understood here, but {known}"
        raise bad_request(f"{where}: {what}" if where else what, where or None) from None
    if _LARGE_NUMBER.search(raw):
        _check_numbers(raw)
    return body


def _telling(errors: Sequence[Any]) -> Any:
    """Of what pydantic finds the first; where a field may be of several types, what is wrong in the one it has."""
    same = [error for error in errors if error["loc"][:1] == errors[0]["loc"][:1]]
    return next((error for error in same if not error["type"].endswith("_type")), errors[0])


def _check_numbers(raw: bytes) -> None:
    """Raises Refused (400) for a number that no double holds: it could not be told to anybody as JSON again."""

    def finite(text: str) -> float:
        number = float(text)
        if math.isinf(number):
            raise bad_request(f"{text[:LONGEST_TAG]} is larger than any number can be here")
        return number

    json.loads(raw, parse_float=finite, parse_int=len)  # whole numbers may be longer than Python reads


async def _read(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    with trio.move_on_after(BODY_SECONDS) as scope:
        async with aclosing(request.stream()) as stream:
            async for part in stream:
                size += len(part)
                if size > BODY_BYTES:
                    message = f"the request is longer than {BODY_BYTES} bytes; shorten it"
                    raise Refused(Problem(413, message, "invalid_request_error"))
                parts.append(part)
    if scope.cancelled_caught:
        raise Refused(
            Problem(408, f"the request did not arrive within {BODY_SECONDS:.0f} s; send it again", "timeout_error")
        )
    return b"".join(parts)
