"""``/v1/messages``, Anthropic's API: what it takes, and the turn that this asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from routing.errors import UsageError
from swarm_node.gateway.chat_request import Finite, Tokens
from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.history import History, thinking
from swarm_node.gateway.messages_events import PING, MessageAnswer
from swarm_node.gateway.operations import Operation, checked_body
from swarm_node.gateway.settings import MESSAGES, MODEL_NAME_CHARS, STOP_CHARS, STOP_STRINGS, TOOLS
from swarm_node.gateway.telling import blocks, respond
from swarm_node.gateway.turn import Choosing, Turn
from swarm_node.text import chat_prompt

Name = Annotated[str, Field(min_length=1, max_length=256)]


class TextBlock(BaseModel):
    type: Literal["text"]
    text: str


def as_blocks(content: Any) -> Any:
    if content is None:
        return []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


Text = Annotated[list[TextBlock], BeforeValidator(as_blocks, json_schema_input_type=str | list[TextBlock])]


class ThinkingBlock(BaseModel):
    type: Literal["thinking"]
    thinking: str


class RedactedThinkingBlock(BaseModel):
    """Of another server's answer: what it meant is not told."""

    type: Literal["redacted_thinking"]


class ToolUseBlock(BaseModel):
    type: Literal["tool_use"]
    id: Name
    name: Name
    input: dict[str, Any]


class ToolResultBlock(BaseModel):
    type: Literal["tool_result"]
    tool_use_id: Name
    content: Text = []


UserBlock = Annotated[TextBlock | ToolResultBlock, Field(discriminator="type")]
AssistantBlock = Annotated[
    TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock, Field(discriminator="type")
]


class UserMessage(BaseModel):
    role: Literal["user"]
    content: Annotated[list[UserBlock], BeforeValidator(as_blocks, json_schema_input_type=str | list[UserBlock])]


class AssistantMessage(BaseModel):
    role: Literal["assistant"]
    content: Annotated[
        list[AssistantBlock], BeforeValidator(as_blocks, json_schema_input_type=str | list[AssistantBlock])
    ]


class SystemMessage(BaseModel):
    role: Literal["system"]
    content: Text


Message = Annotated[UserMessage | AssistantMessage | SystemMessage, Field(discriminator="role")]


class Tool(BaseModel):
    """A tool that the caller runs."""

    name: Name
    description: str | None = None
    input_schema: dict[str, Any]

    def for_chat(self) -> dict[str, Any]:
        function = {"name": self.name, "description": self.description, "parameters": self.input_schema}
        return {"type": "function", "function": {key: value for key, value in function.items() if value is not None}}


def kind_of_tool(tool: Any) -> str | None:
    return (tool.get("type") or "custom") if isinstance(tool, Mapping) else None


class Choice(BaseModel):
    type: Literal["auto", "any", "none"]
    disable_parallel_tool_use: bool = False


class ChosenTool(BaseModel):
    type: Literal["tool"]
    name: Name
    disable_parallel_tool_use: bool = False


class Thinking(BaseModel):
    type: Literal["enabled", "adaptive", "disabled", "between_tools"]


class SchemaFormat(BaseModel):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputOptions(BaseModel):
    effort: Annotated[str, Field(max_length=32)] | None = None
    format: SchemaFormat | None = None


class Conversation(BaseModel):
    """What makes up the prompt, and the body of ``/v1/messages/count_tokens``."""

    model: str = Field(max_length=MODEL_NAME_CHARS)
    messages: list[Message] = Field(min_length=1, max_length=MESSAGES)
    system: Text | None = None
    tools: list[Annotated[Annotated[Tool, Tag("custom")], Discriminator(kind_of_tool)]] = Field(
        default=[], max_length=TOOLS
    )
    tool_choice: Annotated[Choice | ChosenTool, Field(discriminator="type")] | None = None
    thinking: Thinking | None = None
    output_config: OutputOptions | None = None

    def turn(self) -> Turn:
        """What the model is asked. Raises UsageError for what this server cannot do."""
        return Turn(
            model=self.model,
            messages=self._messages(),
            choosing=self._choosing(),
            tools=[tool.for_chat() for tool in self.tools],
            tool_choice=self._tool_choice(),
            parallel_calls=self.tool_choice is None or not self.tool_choice.disable_parallel_tool_use,
            response_format=self._response_format(),
            template=self._template(),
        )

    def _choosing(self) -> Choosing:
        return Choosing()

    def _messages(self) -> Sequence[Mapping[str, Any]]:
        history = History()
        if self.system:
            history.instruct(*texts(self.system))
        for message in self.messages:
            match message:
                case SystemMessage(content=content):
                    history.instruct(*texts(content))
                case UserMessage(content=blocks) | AssistantMessage(content=blocks):
                    for block in blocks:
                        add(history, block, message.role)
        if history.speaker == "assistant":
            raise UsageError("messages: the last one is the assistant's; end with the user's, which it then answers")
        return history.messages()

    def _tool_choice(self) -> str:
        match self.tool_choice:
            case ChosenTool(name=name):
                return f"function:{name}"
            case Choice(type="any"):
                return "required"
            case Choice(type="none"):
                return "none"
        return "auto"

    def _response_format(self) -> Mapping[str, Any] | None:
        if self.output_config is None or self.output_config.format is None:
            return None
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": self.output_config.format.schema_}}

    def _template(self) -> Mapping[str, Any]:
        # A client that does not ask for thoughts may know of no block but text.
        variables: dict[str, Any] = {**thinking(self.thinking is not None and self.thinking.type != "disabled")}
        if self.output_config is not None and self.output_config.effort is not None:
            variables["reasoning_effort"] = self.output_config.effort
        return variables


class MessagesRequest(Conversation):
    """The body of ``/v1/messages``. What it does not name is left unread."""

    max_tokens: Tokens
    stop_sequences: list[Annotated[str, Field(min_length=1, max_length=STOP_CHARS)]] = Field(
        default=[], max_length=STOP_STRINGS
    )
    temperature: Annotated[Finite, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31)] | None = None
    stream: bool = False

    def _choosing(self) -> Choosing:
        return Choosing(
            max_tokens=self.max_tokens,
            fits_context=True,  # it has to be given here, and agents give what the largest models can
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            stop=self.stop_sequences,
        )


def add(
    history: History,
    block: TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ToolResultBlock,
    role: str,
) -> None:
    match block:
        case TextBlock(text=text):
            history.ask(text) if role == "user" else history.answer(text)
        case ThinkingBlock(thinking=text):
            history.think(text)
        case ToolUseBlock():
            history.call(block.id, block.name, json.dumps(block.input, ensure_ascii=False))
        case ToolResultBlock():
            history.result(block.tool_use_id, *texts(block.content))


def texts(blocks: Sequence[TextBlock]) -> list[str]:
    return [block.text for block in blocks]


def routes(gateway: Gateway) -> list[BaseRoute]:
    """Answers in one piece, or as a stream."""

    async def create(request: Request) -> Response:
        asked = await checked_body(request, MessagesRequest)
        events = gateway.turns(asked.turn(), gateway.key_of(request))
        return await respond(request, events, MessageAnswer(asked.model), stream=asked.stream, keepalive=blocks([PING]))

    async def count(request: Request) -> Response:
        turn = (await checked_body(request, Conversation)).turn()
        served = await gateway.models.served(turn.model)

        def tokens() -> int:
            tools = () if turn.tool_choice == "none" else turn.tools
            return len(chat_prompt(served.tokenizer, turn.messages, tools, template=turn.template))

        return JSONResponse({"input_tokens": await gateway.key_of(request).prepare(tokens)})

    return [
        Operation("POST", "/v1/messages", create, summary="Answer a conversation (Anthropic).", body=MessagesRequest),
        Operation(
            "POST",
            "/v1/messages/count_tokens",
            count,
            summary="How long its prompt would be (Anthropic).",
            body=Conversation,
        ),
    ]
