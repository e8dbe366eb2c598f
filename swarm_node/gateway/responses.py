"""``/v1/responses``, OpenAI's younger API: what it takes, and the turn that this asks for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from routing.errors import UsageError
from swarm_node.gateway.chat_request import Finite, Tokens
from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.history import History, thinking
from swarm_node.gateway.operations import Operation, checked_body
from swarm_node.gateway.responses_body import (
    Allowed,
    Call,
    CallOutput,
    Function,
    Items,
    Message,
    Mode,
    Named,
    Reasoning,
    Reference,
    TextOptions,
    TextPart,
    Thought,
    Tool,
    ToolChoice,
)
from swarm_node.gateway.responses_events import ResponseAnswer
from swarm_node.gateway.settings import MODEL_NAME_CHARS, TOOLS, TOP_LOGPROBS
from swarm_node.gateway.telling import respond
from swarm_node.gateway.turn import Choosing, Turn

INCLUDED = 64
"""What an answer may be asked to hold besides; nearly all of it is about tools of OpenAI's own."""

LOGPROBS = "message.output_text.logprobs"


class ResponsesRequest(BaseModel):
    """The body. What it does not name is left unread."""

    model: str = Field(max_length=MODEL_NAME_CHARS)
    input: Items
    instructions: str | None = None
    tools: list[Tool] = Field(default=[], max_length=TOOLS)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    include: list[str] | None = Field(default=None, max_length=INCLUDED)
    top_logprobs: Annotated[int, Field(ge=0, le=TOP_LOGPROBS)] | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: Tokens | None = None
    temperature: Annotated[Finite, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    metadata: dict[str, str] | None = None

    def turn(self) -> Turn:
        """What the model is asked. Raises UsageError for what this server cannot do."""
        self._refuse_what_needs_memory()
        tools, choice = self._tools()
        return Turn(
            model=self.model,
            messages=self._messages(),
            choosing=Choosing(
                max_tokens=self.max_output_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                top_logprobs=(self.top_logprobs or 0) if self.tells_logprobs else None,
            ),
            tools=[tool.for_chat() for tool in tools],
            tool_choice=choice,
            parallel_calls=self.parallel_tool_calls is not False,
            response_format=self._response_format(),
            template=self._template(),
        )

    @property
    def tells_logprobs(self) -> bool:
        """Whether the answer holds its tokens' probabilities."""
        return self.top_logprobs is not None or LOGPROBS in (self.include or ())

    def echo(self) -> dict[str, Any]:
        """What the answer repeats of the request."""
        return {
            "model": self.model,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": self.reasoning.effort if self.reasoning else None, "summary": None},
            "store": False,
            "temperature": self.temperature,
            "text": {"format": self._format()},
            "tool_choice": self._told_choice(),
            "tools": [tool.model_dump() for tool in self.tools],
            "top_logprobs": self.top_logprobs or 0,
            "top_p": self.top_p,
            "truncation": "disabled",
        }

    def _refuse_what_needs_memory(self) -> None:
        for name in ("previous_response_id", "conversation", "prompt"):
            if getattr(self, name) is not None:
                raise UsageError(f"{name}: this server keeps nothing; send the whole conversation as input")
        if self.background:
            raise UsageError("background: this server keeps nothing; leave it out, and read the answer as it comes")

    def _messages(self) -> Sequence[Mapping[str, Any]]:
        history = History()
        if self.instructions:
            history.instruct(self.instructions)
        for position, item in enumerate(self.input):
            match item:
                case Message(role="user"):
                    history.ask(*texts(item.content))
                case Message(role="assistant"):
                    history.answer(*texts(item.content))
                case Message():
                    history.instruct(*texts(item.content))
                case Thought():
                    history.think(*texts(item.content or item.summary))
                case Call():
                    history.call(item.call_id, item.name, item.arguments)
                case CallOutput():
                    history.result(item.call_id, *texts(item.output))
                case Reference():
                    raise UsageError(
                        f"input.{position}: this server keeps nothing that an id could name; send the item itself"
                        ' (most clients do if "store" is false)'
                    )
        return history.messages()

    def _tools(self) -> tuple[Sequence[Function], str]:
        match self.tool_choice:
            case Mode(type=mode):
                return self.tools, mode
            case Named(name=name):
                return self.tools, f"function:{name}"
            case Allowed(mode=mode, tools=allowed):
                names = {tool.name for tool in allowed}
                return [tool for tool in self.tools if tool.name in names], mode
        return self.tools, "auto"

    def _told_choice(self) -> str | dict[str, Any]:
        match self.tool_choice:
            case None:
                return "auto"
            case Mode(type=mode):
                return mode
            case chosen:
                return chosen.model_dump()

    def _response_format(self) -> Mapping[str, Any] | None:
        chosen = self._format()
        if chosen["type"] == "text":
            return None
        kind = chosen.pop("type")
        return {"type": kind, kind: chosen} if chosen else {"type": kind}

    def _format(self) -> dict[str, Any]:
        if self.text is None or self.text.format is None:
            return {"type": "text"}
        return self.text.format.model_dump(by_alias=True, exclude_none=True)

    def _template(self) -> Mapping[str, Any]:
        effort = self.reasoning.effort if self.reasoning else None
        if effort is None:
            return {}
        return thinking(False) if effort == "none" else {"reasoning_effort": effort, **thinking(True)}


def texts(parts: Sequence[TextPart]) -> list[str]:
    return [part.text for part in parts]


def routes(gateway: Gateway) -> list[BaseRoute]:
    """Answers in one piece, or as a stream."""

    async def create(request: Request) -> Response:
        asked = await checked_body(request, ResponsesRequest)
        turn = asked.turn()
        names = (await gateway.models.served(asked.model)).names if asked.tells_logprobs else None
        answer = ResponseAnswer(asked.echo(), time.time(), names)
        events = gateway.turns(turn, gateway.key_of(request))
        return await respond(request, events, answer, stream=asked.stream is True)

    return [
        Operation(
            "POST", "/v1/responses", create, summary="Answer a conversation (OpenAI Responses).", body=ResponsesRequest
        )
    ]
