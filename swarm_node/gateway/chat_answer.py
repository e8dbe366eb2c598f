"""A chat completion's JSON, whole and in chunks, from the events of a turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarm_node.gateway.chat_request import StreamOptions
from swarm_node.gateway.logprobs import TokenNames, chat_logprobs
from swarm_node.gateway.turn import Counted, Ended, Event, Routed, Turn, Usage, Wrote
from swarm_node.generate import Token
from swarm_node.text import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun


def usage_body(usage: Usage) -> dict[str, Any]:
    """OpenAI's ``usage``."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


@dataclass(slots=True)
class _Written:
    """One choice so far."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    reason: str | None = None

    def take(self, delta: Delta) -> None:
        match delta:
            case Content(text):
                self.content.append(text)
            case Reasoning(text):
                self.reasoning.append(text)
            case ToolCallBegun(_, call, name):
                self.calls.append({"id": call, "type": "function", "function": {"name": name, "arguments": ""}})
            case ToolCallArguments(index, text):
                self.calls[index]["function"]["arguments"] += text

    def message(self) -> dict[str, Any]:
        content = "".join(self.content)
        message: dict[str, Any] = {"role": "assistant", "content": None if self.calls and not content else content}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = self.calls
        return message


class ChatAnswer:
    """The whole answer, gathered."""

    def __init__(self, id: str, created: int, turn: Turn, names: TokenNames) -> None:
        """``created``: seconds since 1970."""
        self._head = {"id": id, "object": "chat.completion", "created": created, "model": turn.model}
        self._tells = turn.choosing.top_logprobs is not None
        self._names = names
        self._choices = [_Written() for _ in range(turn.choosing.n)]
        self._usage = Usage(0, 0)

    def take(self, event: Event) -> None:
        match event:
            case Wrote(choice, delta, tokens):
                self._choices[choice].take(delta)
                self._choices[choice].tokens += tokens
            case Ended(choice, reason):
                self._choices[choice].reason = reason
            case Counted(usage):
                self._usage = usage

    def body(self) -> dict[str, Any]:
        """Once all events were taken."""
        choices = [
            {
                "index": index,
                "message": written.message(),
                "logprobs": chat_logprobs(self._names, written.tokens) if self._tells else None,
                "finish_reason": written.reason,
            }
            for index, written in enumerate(self._choices)
        ]
        return {**self._head, "choices": choices, "usage": usage_body(self._usage)}


class ChatChunks:
    """The same, piece by piece."""

    def __init__(self, id: str, created: int, turn: Turn, wanted: StreamOptions, names: TokenNames) -> None:
        self._head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": turn.model}
        self._tells = turn.choosing.top_logprobs is not None
        self._names = names
        self._wanted = wanted
        self._begun: set[int] = set()

    def of(self, event: Event) -> Iterator[dict[str, Any]]:
        """The chunks that tell of ``event``."""
        match event:
            case Wrote(choice, delta, tokens):
                yield from self._beginning(choice)
                yield self._chunk(choice, _delta(delta), tokens=tokens)
            case Ended(choice, reason):
                yield from self._beginning(choice)
                yield self._chunk(choice, {}, reason=reason)
            case Routed(choice, hops) if self._wanted.include_route:
                route = [{"peer": peer, "start": start, "end": end} for peer, start, end in hops]
                yield {**self._chunk(choice, {}), "swarm": {"route": route}}
            case Counted(usage) if self._wanted.include_usage:
                yield {**self._head, "choices": [], "usage": usage_body(usage)}

    def _beginning(self, choice: int) -> Iterator[dict[str, Any]]:
        if choice not in self._begun:
            self._begun.add(choice)
            yield self._chunk(choice, {"role": "assistant", "content": ""})

    def _chunk(
        self, choice: int, delta: dict[str, Any], *, tokens: Sequence[Token] = (), reason: str | None = None
    ) -> dict[str, Any]:
        chunk: dict[str, Any] = {
            **self._head,
            "choices": [
                {
                    "index": choice,
                    "delta": delta,
                    "logprobs": chat_logprobs(self._names, tokens) if self._tells and tokens else None,
                    "finish_reason": reason,
                }
            ],
        }
        return {**chunk, "usage": None} if self._wanted.include_usage else chunk


def _delta(delta: Delta) -> dict[str, Any]:
    match delta:
        case Content(text):
            return {"content": text}
        case Reasoning(text):
            return {"reasoning_content": text}
        case ToolCallBegun(index, call, name):
            function = {"name": name, "arguments": ""}
            return {"tool_calls": [{"index": index, "id": call, "type": "function", "function": function}]}
        case ToolCallArguments(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
