"""The parts that a request to ``/v1/responses`` is made of: items, tools, formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag

from swarm_node.gateway.settings import MESSAGES

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
Items = Annotated[
    list[Item], Field(max_length=MESSAGES), BeforeValidator(as_items, json_schema_input_type=str | list[Item])
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


def kind_of_tool(tool: Any) -> str | None:
    return tool.get("type") if isinstance(tool, Mapping) else None


# One kind in a union: so what is of another kind is refused by that and not for what it lacks.
Tool = Annotated[Annotated[Function, Tag("function")], Discriminator(kind_of_tool)]


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
