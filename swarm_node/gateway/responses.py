"""What ``POST /v1/responses`` takes, OpenAI's younger API, and the turn that it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag

from routing.errors import UsageError
from swarm_node.gateway.history import History, thinking
from swarm_node.gateway.turn import Choosing, Turn

Name = Annotated[str, Field(min_length=1, max_length=256)]


class TextPart(BaseModel):
    """Of a message, a result or a thought."""

    type: Literal["input_text", "output_text", "text", "reasoning_text", "summary_text"]
    text: str


def as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


Text = Annotated[list[TextPart], BeforeValidator(as_parts, json_schema_input_type=str | list[TextPart])]


class Message(BaseModel):
    """An item of the input: something said."""

    role: Literal["user", "assistant", "system", "developer"]
    content: Text


class Call(BaseModel):
    """An item of the input: a function that the model called before."""

    call_id: Name
    name: Name
    arguments: str


class CallOutput(BaseModel):
    """An item of the input: what such a function gave."""

    call_id: Name
    output: Text


class Thought(BaseModel):
    """An item of the input: what the model wrote for itself before."""

    summary: list[TextPart] = []
    content: list[TextPart] | None = None


class Reference(BaseModel):
    """An item of the input that names one of an answer before."""

    id: str = ""


def kind_of_item(item: Any) -> str | None:
    if isinstance(item, Mapping):
        return item.get("type") or ("message" if "role" in item else "item_reference")
    return None


def as_items(said: Any) -> Any:
    return [{"role": "user", "content": said}] if isinstance(said, str) else said


Item = Annotated[
    Annotated[Message, Tag("message")]
    | Annotated[Call, Tag("function_call")]
    | Annotated[CallOutput, Tag("function_call_output")]
    | Annotated[Thought, Tag("reasoning")]
    | Annotated[Reference, Tag("item_reference")],
    Discriminator(kind_of_item),
]


class Function(BaseModel):
    """A tool that the caller runs."""

    type: Literal["function"]
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def for_chat(self) -> dict[str, Any]:
        return {"type": "function", "function": self.model_dump(exclude={"type"}, exclude_none=True)}


class Mode(BaseModel):
    """Whether to call any."""

    type: Literal["auto", "none", "required"]


class Named(BaseModel):
    """The one function to call."""

    type: Literal["function"]
    name: Name


class Allowed(BaseModel):
    """The tools that may be called, of those given."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[Named] = Field(min_length=1)


def as_choice(choice: Any) -> Any:
    return {"type": choice} if isinstance(choice, str) else choice


ToolChoice = Annotated[
    Annotated[Mode | Named | Allowed, Field(discriminator="type")],
    BeforeValidator(as_choice, json_schema_input_type=str | Named | Allowed),
]


class PlainText(BaseModel):
    type: Literal["text"]


class AnyJson(BaseModel):
    type: Literal["json_object"]


class SchemaJson(BaseModel):
    type: Literal["json_schema"]
    name: Name
    schema_: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextOptions(BaseModel):
    format: Annotated[PlainText | AnyJson | SchemaJson, Field(discriminator="type")] | None = None


class Reasoning(BaseModel):
    effort: Annotated[str, Field(max_length=32)] | None = None


class ResponsesRequest(BaseModel):
    """The body. What it does not name is left unread."""

    model: Name
    input: Annotated[list[Item], BeforeValidator(as_items, json_schema_input_type=str | list[Item])]
    instructions: str | None = None
    tools: list[Function] = Field(default=[], max_length=1024)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
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
            choosing=Choosing(max_tokens=self.max_output_tokens, temperature=self.temperature, top_p=self.top_p),
            tools=[tool.for_chat() for tool in tools],
            tool_choice=choice,
            response_format=self._response_format(),
            template=self._template(),
        )

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
                    history.ask(joined(item.content))
                case Message(role="assistant"):
                    history.answer(joined(item.content, between=""))
                case Message():
                    history.instruct(joined(item.content))
                case Thought():
                    history.think(joined(item.content or item.summary, between=""))
                case Call():
                    history.call(item.call_id, item.name, item.arguments)
                case CallOutput():
                    history.result(item.call_id, joined(item.output))
                case Reference():
                    raise UsageError(
                        f"input.{position}: this server keeps nothing that an id could name; send the item itself"
                        ' (most clients do if "store" is false)'
                    )
        return history.messages

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


def joined(parts: Sequence[TextPart], between: str = "\n\n") -> str:
    return between.join(part.text for part in parts)
