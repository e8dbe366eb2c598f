"""An answer as Anthropic's Messages API tells it: the events of its stream, and the message that they add up to."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from swarm_node.gateway.errors import Problem
from swarm_node.gateway.telling import StreamEvent
from swarm_node.gateway.turn import Counted, Ended, Event, Usage, Wrote
from swarm_node.text import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun

PING: StreamEvent = {"type": "ping"}
"""Keeps a quiet connection open."""

SIGNATURE = "unsigned"
"""Clients send a thought back only if it bears one; nothing checks ours."""


class MessageAnswer:
    """Takes the events of one turn, gives those of the stream, and holds the message as it is by now.

    One block of the content is open at a time.
    """

    def __init__(self, model: str) -> None:
        self.message: dict[str, Any] = {
            "id": f"msg_{uuid.uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": counted(Usage(prompt=0, completion=0)),
        }
        self._open: dict[str, Any] | None = None
        self._text: list[str] = []
        """Of the open block, in pieces: for a call the JSON text of its input."""

    def begin(self) -> list[StreamEvent]:
        """Before the first token."""
        return [{"type": "message_start", "message": {**self.message, "content": []}}]

    def take(self, event: Event) -> list[StreamEvent]:
        """The answer goes on."""
        match event:
            case Wrote(delta=delta):
                return list(self._wrote(delta))
            case Ended():
                return list(self._ended(event))
            case Counted(usage=usage):
                return self._complete(usage)
        return []

    def fail(self, problem: Problem) -> list[StreamEvent]:
        """It will not go on."""
        return [anthropic_error(problem)]

    def whole(self) -> Mapping[str, Any]:
        """The message."""
        return self.message

    def _wrote(self, delta: Delta) -> Iterator[StreamEvent]:
        match delta:
            case Content(text=text) if text:
                yield from self._in({"type": "text", "text": ""})
                yield self._more({"type": "text_delta", "text": text}, text)
            case Reasoning(text=text) if text:
                yield from self._in({"type": "thinking", "thinking": "", "signature": ""})
                yield self._more({"type": "thinking_delta", "thinking": text}, text)
            case ToolCallBegun(id=call_id, name=name):
                yield from self._close()
                yield from self._in({"type": "tool_use", "id": call_id, "name": name, "input": {}})
            case ToolCallArguments(text=text):
                yield self._more({"type": "input_json_delta", "partial_json": text}, text)

    def _in(self, block: dict[str, Any]) -> Iterator[StreamEvent]:
        """A block of that type is open; ``block`` is one that has nothing in it yet."""
        if self._open is not None and self._open["type"] == block["type"]:
            return
        yield from self._close()
        self.message["content"].append(block)
        self._open = block
        yield {"type": "content_block_start", "index": self._index, "content_block": dict(block)}

    def _more(self, delta: dict[str, Any], text: str) -> StreamEvent:
        self._text.append(text)
        return self._delta(delta)

    def _delta(self, delta: dict[str, Any]) -> StreamEvent:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> Iterator[StreamEvent]:
        """No block is open."""
        block, text = self._open, "".join(self._text)
        if block is None:
            return
        match block["type"]:
            case "text":
                block["text"] = text
            case "thinking":
                block |= {"thinking": text, "signature": SIGNATURE}
                yield self._delta({"type": "signature_delta", "signature": SIGNATURE})
            case "tool_use":
                block["input"] = as_object(text)
        yield {"type": "content_block_stop", "index": self._index}
        self._open, self._text = None, []

    def _ended(self, ended: Ended) -> Iterator[StreamEvent]:
        if not self.message["content"]:
            yield from self._in({"type": "text", "text": ""})  # clients look into the first
        yield from self._close()
        self.message |= {"stop_reason": stop_reason(ended), "stop_sequence": ended.stop}

    def _complete(self, usage: Usage) -> list[StreamEvent]:
        self.message["usage"] = counted(usage)
        delta = {field: self.message[field] for field in ("stop_reason", "stop_sequence")}
        return [
            {"type": "message_delta", "delta": delta, "usage": self.message["usage"]},
            {"type": "message_stop"},
        ]

    @property
    def _index(self) -> int:
        """Of the open block."""
        return len(self.message["content"]) - 1


ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
"""Anthropic's kinds, by status; any other is an ``api_error``."""


def anthropic_error(problem: Problem) -> dict[str, Any]:
    """Anthropic's error body, on a stream too."""
    kind = ERROR_TYPES.get(problem.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": problem.message}}


def stop_reason(ended: Ended) -> str:
    if ended.stop is not None:
        return "stop_sequence"
    return {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}[ended.reason]


def counted(usage: Usage) -> dict[str, Any]:
    """Anthropic counts what is read from a cache beside the input, not in it."""
    return {
        "input_tokens": usage.prompt - usage.cached,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.completion,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def as_object(arguments: str) -> dict[str, Any]:
    """Of JSON text what there is of it, if the answer was cut; what is no object counts as none."""
    try:
        value = from_json(arguments or "{}", allow_inf_nan=False, allow_partial=True)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
