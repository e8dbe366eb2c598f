"""A plain completion's JSON, whole and in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from swarm_node.gateway.chat_answer import usage_body
from swarm_node.gateway.choices import Prompted
from swarm_node.gateway.completions_request import CompletionRequest
from swarm_node.gateway.logprobs import TokenNames, completion_logprobs
from swarm_node.gateway.turn import Counted, Ended, Event, Routed, Usage, Wrote
from swarm_node.generate import Token
from swarm_node.text import Content


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text to go on with."""

    text: str
    ids: list[int]


class CompletionChunks:
    """The pieces of an answer; choices come in the order of the prompts, n for each."""

    def __init__(
        self, id: str, created: int, asked: CompletionRequest, names: TokenNames, prompts: Sequence[Prompt]
    ) -> None:
        """``created``: seconds since 1970."""
        self._head = {"id": id, "object": "text_completion", "created": created, "model": asked.model}
        self._asked = asked
        self._wanted = asked.streams()
        self._names = names
        self._prompts = prompts
        self._offsets: dict[int, int] = {}
        self._begun: set[int] = set()

    def of(self, event: Event | Prompted) -> Iterator[dict[str, Any]]:
        """The chunks that tell of ``event``."""
        match event:
            case Prompted(choice, tokens):
                self._begun.add(choice)
                prompt = self._prompt(choice)
                yield self._chunk(choice, prompt.text, prompt.ids, tokens)
            case Wrote(choice, Content(text), tokens):
                yield from self._echo(choice)
                if self._asked.max_tokens != 0:
                    yield self._chunk(choice, text, [token.id for token in tokens], tokens)
            case Ended(choice, reason):
                yield from self._echo(choice)
                yield self._chunk(choice, "", (), (), reason)
            case Routed(choice, hops) if self._wanted is not None and self._wanted.include_route:
                route = [{"peer": peer, "start": start, "end": end} for peer, start, end in hops]
                yield {**self._chunk(choice, "", (), ()), "swarm": {"route": route}}
            case Counted(usage) if self._wanted is not None and self._wanted.include_usage:
                yield {**self._head, "choices": [], "usage": self.usage(usage)}

    def usage(self, usage: Usage) -> dict[str, Any]:
        """A token that was written only for the prompt's sake is not told."""
        return usage_body(Usage(usage.prompt, 0, usage.cached) if self._asked.max_tokens == 0 else usage)

    def _echo(self, choice: int) -> Iterator[dict[str, Any]]:
        if self._asked.echo and choice not in self._begun:
            self._begun.add(choice)
            yield self._chunk(choice, self._prompt(choice).text, (), ())

    def _prompt(self, choice: int) -> Prompt:
        return self._prompts[choice // (self._asked.n or 1)]

    def _chunk(
        self,
        choice: int,
        text: str,
        ids: Sequence[int],
        tokens: Sequence[Token | None],
        reason: str | None = None,
    ) -> dict[str, Any]:
        logprobs = None
        if self._asked.logprobs is not None and tokens:
            logprobs = completion_logprobs(self._names, tokens, ids, self._offsets.get(choice, 0))
        self._offsets[choice] = self._offsets.get(choice, 0) + len(text)
        return {
            **self._head,
            "choices": [{"index": choice, "text": text, "logprobs": logprobs, "finish_reason": reason}],
        }


class CompletionAnswer:
    """The whole answer: its pieces, put together."""

    def __init__(
        self, id: str, created: int, asked: CompletionRequest, names: TokenNames, prompts: Sequence[Prompt]
    ) -> None:
        self._chunks = CompletionChunks(id, created, asked, names, prompts)
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}

    def take(self, event: Event | Prompted) -> None:
        if isinstance(event, Counted):
            self._usage = self._chunks.usage(event.usage)
            return
        for chunk in self._chunks.of(event):
            [piece] = chunk.pop("choices")
            self._head = chunk
            whole = self._choices.setdefault(piece["index"], {**piece, "text": "", "logprobs": None})
            whole["text"] += piece["text"]
            whole["finish_reason"] = piece["finish_reason"]
            if whole["logprobs"] is None:
                whole["logprobs"] = piece["logprobs"]
            elif piece["logprobs"] is not None:
                for name, values in piece["logprobs"].items():
                    whole["logprobs"][name] += values

    def body(self) -> dict[str, Any]:
        """Once all events were taken."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        return {**self._head, "choices": choices, "usage": self._usage}
