"""What one chat request asks, whichever API it came by, and the events that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from swarm_node.generate import Token
from swarm_node.text import Content, Reasoning, ToolCallArguments, ToolCallBegun


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """How tokens are chosen; None leaves the model's own default."""

    max_tokens: int | None = None
    fits_context: bool = False
    """Whether the answer may be shorter than ``max_tokens`` if the context leaves less; else such a request fails."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop: Sequence[str] = ()
    n: int = 1
    """Choices; the i-th draws as a request with ``seed + i`` would."""
    top_logprobs: int | None = None
    """Likeliest tokens to name beside each; None: no log probabilities at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One chat request, checked."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    """As in OpenAI's chat completions."""
    choosing: Choosing = field(default_factory=Choosing)
    tools: Sequence[Mapping[str, Any]] = ()
    """As in OpenAI's chat completions: ``{"type": "function", "function": {…}}``."""
    tool_choice: str = "auto"
    """``auto``, ``none``, ``required``, or ``function:NAME``."""
    parallel_calls: bool = True
    """Whether one answer may call more than once; else the first call ends it."""
    response_format: Mapping[str, Any] | None = None
    """As in OpenAI's chat completions."""
    template: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of the chat template, for example ``reasoning_effort``."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, over all choices."""

    prompt: int
    completion: int
    cached: int = 0
    """Of the prompt, what the nodes held already."""
    reasoning: int = 0
    """Of the completion."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """A piece of one choice."""

    choice: int
    delta: Content | Reasoning | ToolCallBegun | ToolCallArguments
    tokens: Sequence[Token] = ()
    """Those since the piece before, if log probabilities are wanted."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One choice is complete."""

    choice: int
    reason: Literal["stop", "length", "tool_calls"]
    stop: str | None = None
    """The stop string that ended it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The last event: what the whole answer took."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Routed:
    """The chain that carries a choice from now on."""

    choice: int
    hops: Sequence[tuple[str, int, int]]
    """Peer id, first block, block after the last, of each hop."""


Event = Wrote | Ended | Counted | Routed
