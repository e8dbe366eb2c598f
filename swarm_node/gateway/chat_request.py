"""What a request to ``/v1/chat/completions`` may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from swarm_node.gateway.settings import (
    BIASED_TOKENS,
    CHOICES,
    MESSAGES,
    MODEL_NAME_CHARS,
    STOP_CHARS,
    STOP_STRINGS,
    TOOLS,
    TOP_LOGPROBS,
)
from swarm_node.gateway.turn import Choosing, Turn

Finite = Annotated[float, Field(allow_inf_nan=False)]
Bias = Annotated[float, Field(ge=-100, le=100)]
StopString = Annotated[str, Field(min_length=1, max_length=STOP_CHARS)]
Tokens = Annotated[int, Field(ge=1, le=2**31)]


class Lenient(BaseModel):
    """A part of a request: fields that nobody here knows are ignored, as by OpenAI."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class StreamOptions(Lenient):
    include_usage: bool = False
    """A last chunk with the tokens that it took."""
    include_route: bool = False
    """Chunks that tell the chain of nodes which carries a choice."""


class Chances(Lenient):
    """How tokens are chosen, for chat and plain completions. Nothing given: as the model's authors say."""

    model: Annotated[str, Field(min_length=1, max_length=MODEL_NAME_CHARS)]
    temperature: Annotated[Finite, Field(ge=0, le=100)] | None = None
    top_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31)] | None = None
    """0 or -1: no limit."""
    min_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[Finite, Field(gt=0, le=100)] | None = None
    frequency_penalty: Annotated[Finite, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[Finite, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[int, Bias], Field(max_length=BIASED_TOKENS)] | None = None
    """By token id."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=STOP_STRINGS)] | None = None
    n: Annotated[int, Field(ge=1, le=CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    def streams(self) -> StreamOptions | None:
        """None unless a stream is wanted."""
        return (self.stream_options or StreamOptions()) if self.stream else None

    def choosing(self, max_tokens: int | None, top_logprobs: int | None) -> Choosing:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Choosing(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            logit_bias=self.logit_bias or {},
            seed=self.seed,
            stop=stop,
            n=self.n or 1,
            top_logprobs=top_logprobs,
        )


class Message(Lenient):
    """One turn of the conversation."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    """Text, or parts of type ``text``."""


class Function(Lenient):
    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(min_length=1, max_length=128)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema."""


class Tool(Lenient):
    type: Literal["function"]
    function: Function


class ChosenFunction(Lenient):
    name: str


class ChosenTool(Lenient):
    type: Literal["function"]
    function: ChosenFunction


class ChatRequest(Chances):
    """A conversation, and how to go on with it."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES)]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    """The same; the smaller holds."""
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=TOP_LOGPROBS)] | None = None
    tools: Annotated[list[Tool], Field(max_length=TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: Annotated[str, Field(max_length=32)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    """Further variables of the model's chat template."""

    @field_validator("response_format")
    @classmethod
    def _known_format(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and value.get("type") not in ("text", "json_object", "json_schema"):
            raise ValueError("type must be text, json_object or json_schema")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        names = {tool.function.name for tool in self.tools or []}
        if isinstance(self.tool_choice, ChosenTool) and self.tool_choice.function.name not in names:
            raise ValueError(f"tool_choice names {self.tool_choice.function.name!r}, which tools do not hold")
        if self.tool_choice == "required" and not names:
            raise ValueError("tool_choice is required, and there are no tools")
        return self

    def turn(self) -> Turn:
        """What it asks, whichever API it came by."""
        limits = [limit for limit in (self.max_tokens, self.max_completion_tokens) if limit is not None]
        template: Mapping[str, Any] = self.chat_template_kwargs or {}
        if self.reasoning_effort is not None:
            template = {"reasoning_effort": self.reasoning_effort, **template}
        choice = self.tool_choice
        return Turn(
            model=self.model,
            messages=[message.model_dump(exclude_unset=True) for message in self.messages],
            choosing=self.choosing(min(limits, default=None), (self.top_logprobs or 0) if self.logprobs else None),
            tools=[tool.model_dump(exclude_unset=True) for tool in self.tools or []],
            tool_choice=f"function:{choice.function.name}" if isinstance(choice, ChosenTool) else choice or "auto",
            parallel_calls=self.parallel_tool_calls is not False,
            response_format=self.response_format,
            template=template,
        )
