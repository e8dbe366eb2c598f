"""From what went wrong to a status and a body that a client understands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from routing.errors import (
    BlocksNotCovered,
    CapacityError,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    SwarmError,
    UsageError,
    sole_error,
)
from swarm_node.gateway.settings import RETRY_SECONDS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as HTTP tells it."""

    status: int
    message: str
    """One line that says what to do."""
    type: str
    """OpenAI's kinds: ``invalid_request_error``, ``authentication_error``, ``rate_limit_error``, ``server_error`` …"""
    code: str | None = None
    param: str | None = None
    """The field at fault."""
    retry_after: int | None = None
    """Seconds."""


class Refused(SwarmError):
    """A request that the gateway itself turns down."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def bad_request(message: str, param: str | None = None) -> Refused:
    """For a request that cannot be right."""
    return Refused(Problem(400, message, "invalid_request_error", "invalid_value", param))


def unknown_model(name: str) -> Refused:
    return Refused(
        Problem(404, f"the model '{name}' is not served here; GET /v1/models lists those that are",
                "invalid_request_error", "model_not_found", "model")
    )  # fmt: skip


def too_many(message: str, seconds: int = RETRY_SECONDS) -> Refused:
    """For a limit that is reached now and not in ``seconds``."""
    return Refused(Problem(429, message, "rate_limit_error", "rate_limit_exceeded", retry_after=seconds))


def problem_of(error: BaseException) -> Problem:
    """What to tell the client; what it cannot have caused and cannot mend is logged, and told without detail."""
    cause = sole_error(error)
    message = " ".join(str(cause).split())
    match cause:
        case Refused():
            return cause.problem
        case ContextTooLong():
            return Problem(400, message, "invalid_request_error", "context_length_exceeded", "messages")
        case UsageError():
            return Problem(400, message, "invalid_request_error", "invalid_value")
        case CapacityError():
            return Problem(429, message, "rate_limit_error", "swarm_full", retry_after=RETRY_SECONDS)
        case BlocksNotCovered():
            return Problem(503, message, "server_error", "blocks_not_covered", retry_after=RETRY_SECONDS)
        case ModelNotFound():
            return Problem(404, message, "invalid_request_error", "model_not_found", "model")
        case ModelError():
            return Problem(500, message, "server_error", "model_error")
        case SwarmError():
            return Problem(503, message, "server_error", "swarm_unavailable", retry_after=RETRY_SECONDS)
    log.error("a request failed", exc_info=cause)
    return Problem(500, "the gateway failed; its log says why", "server_error", "internal_error")


ErrorBody = Callable[[Problem], dict[str, Any]]
"""An API's own form of an error."""


def openai_error(problem: Problem) -> dict[str, Any]:
    """OpenAI's error body."""
    return {
        "error": {
            "message": problem.message,
            "type": problem.type,
            "param": problem.param,
            "code": problem.code,
        }
    }


def error_response(problem: Problem, body: ErrorBody = openai_error) -> Response:
    headers = {"retry-after": str(problem.retry_after)} if problem.retry_after is not None else {}
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body(problem), problem.status, headers)


class ErrorBodies:
    """Which form errors have below which path; OpenAI's where none is named."""

    def __init__(self, bodies: Mapping[str, ErrorBody]) -> None:
        """``bodies``: by the beginning of a path."""
        self._bodies = bodies

    def respond(self, request: Request, error: BaseException) -> Response:
        """The response to a request that failed before its own response began."""
        path = request.url.path
        body = next((body for start, body in self._bodies.items() if path.startswith(start)), openai_error)
        return error_response(problem_of(error), body)
