"""A conversation in the form of OpenAI's chat completions, put together from the parts that other APIs send."""

from __future__ import annotations

from typing import Any


class History:
    """Grows part by part. Parts of one side that follow each other become one message: many chat templates refuse
    two in a row.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def instruct(self, text: str) -> None:
        """What whoever runs the conversation wants of the model."""
        self._said("system", text)

    def ask(self, text: str) -> None:
        """What the user writes."""
        self._said("user", text)

    def think(self, text: str) -> None:
        """What the model wrote for itself."""
        message = self._assistant()
        message["reasoning_content"] = message.get("reasoning_content", "") + text

    def answer(self, text: str) -> None:
        """What the model wrote for the user."""
        message = self._assistant()
        message["content"] = (message["content"] or "") + text

    def call(self, call_id: str, name: str, arguments: str) -> None:
        """A function that the model called; ``arguments`` are JSON text."""
        function = {"name": name, "arguments": arguments}
        self._assistant().setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})

    def result(self, call_id: str, text: str) -> None:
        """What that function gave."""
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})

    @property
    def speaker(self) -> str | None:
        """Whose message is the last: ``system``, ``user``, ``assistant`` or ``tool``."""
        role: str | None = self.messages[-1]["role"] if self.messages else None
        return role

    def _said(self, role: str, text: str) -> None:
        if self.speaker == role:
            self.messages[-1]["content"] += "\n\n" + text
        else:
            self.messages.append({"role": role, "content": text})

    def _assistant(self) -> dict[str, Any]:
        if self.speaker != "assistant":
            self.messages.append({"role": "assistant", "content": None})
        return self.messages[-1]


def thinking(wanted: bool) -> dict[str, bool]:
    """Variables that make a chat template let the model think first, or not; they bear one name or the other."""
    return {"enable_thinking": wanted, "thinking": wanted}
