"""A conversation in the form of OpenAI's chat completions, put together from the parts that other APIs send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class _Message:
    role: str
    said: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    of_call: str | None = None

    def for_chat(self) -> dict[str, Any]:
        between = "" if self.role == "assistant" else "\n\n"
        message: dict[str, Any] = {"role": self.role, "content": between.join(self.said)}
        if self.thought:
            message["reasoning_content"] = "".join(self.thought)
        if self.calls:
            message["tool_calls"] = self.calls
        if self.of_call is not None:
            message["tool_call_id"] = self.of_call
        return message


class History:
    """Grows part by part. Parts of one side that follow each other become one message: many chat templates refuse
    two in a row.
    """

    def __init__(self) -> None:
        self._messages: list[_Message] = []

    def instruct(self, *texts: str) -> None:
        """What whoever runs the conversation wants of the model."""
        self._of("system").said += texts

    def ask(self, *texts: str) -> None:
        """What the user writes."""
        self._of("user").said += texts

    def think(self, *texts: str) -> None:
        """What the model wrote for itself."""
        self._of("assistant").thought += texts

    def answer(self, *texts: str) -> None:
        """What the model wrote for the user."""
        self._of("assistant").said += texts

    def call(self, call_id: str, name: str, arguments: str) -> None:
        """A function that the model called; ``arguments`` are JSON text."""
        function = {"name": name, "arguments": arguments}
        self._of("assistant").calls.append({"id": call_id, "type": "function", "function": function})

    def result(self, call_id: str, *texts: str) -> None:
        """What that function gave."""
        self._messages.append(_Message("tool", list(texts), of_call=call_id))

    @property
    def speaker(self) -> str | None:
        """Whose message is the last: ``system``, ``user``, ``assistant`` or ``tool``."""
        return self._messages[-1].role if self._messages else None

    def messages(self) -> Sequence[dict[str, Any]]:
        """All of it."""
        return [message.for_chat() for message in self._messages]

    def _of(self, role: str) -> _Message:
        if self.speaker != role:
            self._messages.append(_Message(role))
        return self._messages[-1]


def thinking(wanted: bool) -> dict[str, bool]:
    """Variables that make a chat template let the model think first, or not; they bear one name or the other."""
    return {"enable_thinking": wanted, "thinking": wanted}
