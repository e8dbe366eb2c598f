"""What the swarm tests share: prompts, the yardstick, and generation through a swarm of node processes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.generation.streamers import BaseStreamer

from cli.demo import even_spans
from routing import Span
from tests.models import VOCABULARY

OPTIONS = ("--threads", "1", "--dtype", "float32")
NEW_TOKENS = 40


class AfterTokens(BaseStreamer):
    """Calls ``act`` once, when so many new tokens have come."""

    def __init__(self, tokens: int, act: Callable[[], object]) -> None:
        self._remaining = tokens + 1  # the prompt comes first
        self._act = act

    def put(self, value: torch.Tensor) -> None:
        self._remaining -= 1
        if self._remaining == 0:
            self._act()

    def end(self) -> None:
        pass


def prompt_of(tokens: int) -> list[int]:
    """A prompt of ``tokens`` tokens, always the same."""
    generator = torch.Generator().manual_seed(tokens)
    return torch.randint(VOCABULARY, (tokens,), generator=generator).tolist()


def thirds(blocks: int) -> list[Span]:
    return even_spans(blocks, 3)


def generated(model: Any, prompt: Sequence[int], new_tokens: int = NEW_TOKENS, **options: Any) -> list[int]:
    """The new tokens that ``model`` writes greedily after ``prompt``."""
    inputs = torch.tensor([list(prompt)])
    output = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=new_tokens,
        do_sample=False,
        pad_token_id=0,
        **options,
    )
    return output[0, len(prompt) :].tolist()


@functools.cache
def yardstick(path: Path) -> Any:
    """The same weights in plain transformers."""
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def expected(path: Path, prompt: Sequence[int], new_tokens: int = NEW_TOKENS) -> list[int]:
    """What plain transformers writes after ``prompt``."""
    return generated(yardstick(path), prompt, new_tokens)
