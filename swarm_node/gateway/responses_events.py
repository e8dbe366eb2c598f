"""An answer as OpenAI's Responses API tells it: the events of its stream, and the response that they add up to."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swarm_node.gateway.errors import Problem
from swarm_node.gateway.logprobs import TokenNames, chat_logprobs
from swarm_node.gateway.telling import StreamEvent
from swarm_node.gateway.turn import Counted, Ended, Event, Usage, Wrote
from swarm_node.generate import Token
from swarm_node.text import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun


class ResponseAnswer:
    """Takes the events of one turn, gives those of the stream, and holds the response as it is by now.

    One item of the output is open at a time: a thought, a message, or a call of a function.
    """

    def __init__(self, echo: Mapping[str, Any], created: float, names: TokenNames | None = None) -> None:
        """``echo`` is what the response repeats of the request; ``created`` is in seconds since 1970. With ``names``
        the tokens' probabilities are told.
        """
        self.response: dict[str, Any] = {
            "id": new_id("resp"),
            "object": "response",
            "created_at": int(created),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "output": [],
            "usage": None,
            **echo,
        }
        self._names = names
        self._sent = 0
        self._open: dict[str, Any] | None = None
        self._text: list[str] = []
        """Of the open item, in pieces."""
        self._logprobs: list[dict[str, Any]] = []
        """Of the open message."""

    def begin(self) -> list[StreamEvent]:
        """Before the first token."""
        return [self._event(f"response.{name}", response=self._snapshot()) for name in ("created", "in_progress")]

    def take(self, event: Event) -> list[StreamEvent]:
        """The answer goes on."""
        match event:
            case Wrote(delta=delta, tokens=tokens):
                return list(self._wrote(delta, tokens))
            case Ended(reason=reason):
                return list(self._ended(cut=reason == "length"))
            case Counted(usage=usage):
                return [self._complete(usage)]
        return []

    def fail(self, problem: Problem) -> list[StreamEvent]:
        """It will not go on."""
        events = list(self._close("incomplete"))
        code = "rate_limit_exceeded" if problem.status == 429 else "server_error"
        self.response |= {"status": "failed", "error": {"code": code, "message": problem.message}}
        return [*events, self._event("response.failed", response=self._snapshot())]

    def whole(self) -> Mapping[str, Any]:
        """The response."""
        return self.response

    def _wrote(self, delta: Delta, tokens: Sequence[Token]) -> Iterator[StreamEvent]:
        match delta:
            case Content(text=text):
                logprobs = chat_logprobs(self._names, tokens)["content"] if self._names is not None else []
                if text or (logprobs and self._is_open("message")):
                    yield from self._in("message")
                    self._logprobs += logprobs
                    yield self._more("response.output_text.delta", text, content_index=0, logprobs=logprobs)
            case Reasoning(text=text):
                if text:
                    yield from self._in("reasoning")
                    yield self._more("response.reasoning_text.delta", text, content_index=0)
            case ToolCallBegun(id=call_id, name=name):
                yield from self._close("completed")
                yield from self._add(
                    {"type": "function_call", "id": new_id("fc"), "call_id": call_id, "name": name, "arguments": ""}
                )
            case ToolCallArguments(text=text):
                yield self._more("response.function_call_arguments.delta", text)

    def _is_open(self, kind: str) -> bool:
        return self._open is not None and self._open["type"] == kind

    def _in(self, kind: str) -> Iterator[StreamEvent]:
        """An item of that kind is open."""
        if self._is_open(kind):
            return
        yield from self._close("completed")
        if kind == "message":
            yield from self._add({"type": kind, "id": new_id("msg"), "role": "assistant", "content": []})
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        else:
            yield from self._add({"type": kind, "id": new_id("rs"), "summary": [], "content": []})
            part = {"type": "reasoning_text", "text": ""}
        assert self._open is not None
        self._open["content"].append(part)
        yield self._of_item("response.content_part.added", content_index=0, part=dict(part))

    def _add(self, item: dict[str, Any]) -> Iterator[StreamEvent]:
        self._open = {**item, "status": "in_progress"}
        self.response["output"].append(self._open)
        yield self._event("response.output_item.added", output_index=self._index, item=copied(self._open))

    def _more(self, kind: str, text: str, **fields: Any) -> StreamEvent:
        self._text.append(text)
        return self._of_item(kind, delta=text, **fields)

    def _close(self, status: str) -> Iterator[StreamEvent]:
        """No item is open."""
        item = self._open
        if item is None:
            return
        item["status"] = status
        text = "".join(self._text)
        if item["type"] == "function_call":
            item["arguments"] = text
            yield self._of_item("response.function_call_arguments.done", name=item["name"], arguments=text)
        else:
            part = item["content"][0]
            part["text"] = text
            if item["type"] == "message":
                part["logprobs"] = self._logprobs
                yield self._of_item("response.output_text.done", content_index=0, text=text, logprobs=self._logprobs)
            else:
                yield self._of_item("response.reasoning_text.done", content_index=0, text=text)
            yield self._of_item("response.content_part.done", content_index=0, part=dict(part))
        yield self._event("response.output_item.done", output_index=self._index, item=copied(item))
        self._open, self._text, self._logprobs = None, [], []

    def _ended(self, *, cut: bool) -> Iterator[StreamEvent]:
        if not self.response["output"]:
            yield from self._in("message")  # clients look into the first
        yield from self._close("incomplete" if cut else "completed")
        if cut:
            self.response |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        else:
            self.response["status"] = "completed"

    def _complete(self, usage: Usage) -> StreamEvent:
        self.response["usage"] = {
            "input_tokens": usage.prompt,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
            "output_tokens": usage.completion,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.prompt + usage.completion,
        }
        return self._event(f"response.{self.response['status']}", response=self._snapshot())

    @property
    def _index(self) -> int:
        """Of the open item."""
        return len(self.response["output"]) - 1

    def _of_item(self, kind: str, **fields: Any) -> StreamEvent:
        assert self._open is not None
        return self._event(kind, item_id=self._open["id"], output_index=self._index, **fields)

    def _event(self, kind: str, **fields: Any) -> StreamEvent:
        event = {"type": kind, "sequence_number": self._sent, **fields}
        self._sent += 1
        return event

    def _snapshot(self) -> dict[str, Any]:
        return {**self.response, "output": [copied(item) for item in self.response["output"]]}


def copied(item: Mapping[str, Any]) -> dict[str, Any]:
    """As it is now, whatever it becomes."""
    copy = dict(item)
    if "content" in copy:
        copy["content"] = [dict(part) for part in copy["content"]]
    return copy


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"
