"""What a request to ``/v1/completions`` may hold."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from swarm_node.gateway.chat_request import Chances
from swarm_node.gateway.settings import PROMPTS, TOP_LOGPROBS

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Ids = Annotated[list[TokenId], Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]


class CompletionRequest(Chances):
    """A text to go on with."""

    prompt: Text | Ids | Annotated[list[Text] | list[Ids], Field(min_length=1, max_length=PROMPTS)]
    """A text or its tokens, or several of either."""
    max_tokens: Annotated[int, Field(ge=0, le=2**31)] | None = None
    """0 only with ``echo``."""
    echo: bool | None = None
    """Begin the text with the prompt."""
    logprobs: Annotated[int, Field(ge=0, le=TOP_LOGPROBS)] | None = None
    """Likeliest tokens to tell beside each, those of an echoed prompt too."""
    suffix: Any = None
    best_of: int | None = None

    @model_validator(mode="after")
    def _possible(self) -> CompletionRequest:
        if self.suffix:
            raise ValueError("suffix is not known here; leave it out")
        if self.best_of not in (None, self.n or 1):
            raise ValueError("best_of must be n or left out: every text that is written is also sent")
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens may be 0 only with echo: true")
        return self

    def prompts(self) -> list[str] | list[list[int]]:
        """Each text or list of token ids to go on with."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if isinstance(prompt[0], int):
            return [prompt]
        return prompt
