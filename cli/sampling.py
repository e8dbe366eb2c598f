"""How the next token is chosen, as options say it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from transformers import GenerationConfig

CHAT_TEMPERATURE = 0.7
"""Of a chat with a model that says nothing itself: the likeliest token alone makes small models repeat themselves."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Options by transformers' names; None leaves the model's own default."""

    max_new_tokens: int
    do_sample: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    num_beams: int | None = None
    seed: int | None = None
    """None or -1: another one each time."""
    ignore_eos: bool = False

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for generate. Temperature 0 means no sampling; another, or a cut of the tail, does."""
        greedy = self.temperature == 0
        named = {
            "do_sample": False if greedy else self.do_sample,
            "temperature": None if greedy else self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "num_beams": self.num_beams,
        }
        given = {name: value for name, value in named.items() if value is not None}
        if "do_sample" not in given and (self.top_k or given.keys() & {"temperature", "top_p", "min_p"}):
            given["do_sample"] = True
        return {**given, "max_new_tokens": self.max_new_tokens}

    def for_chat(self, own: GenerationConfig) -> Self:
        """With a temperature for a model whose ``own`` configuration does not sample."""
        if own.do_sample or self.temperature is not None or self.do_sample is not None:
            return self
        return replace(self, temperature=CHAT_TEMPERATURE)

    def plant(self) -> None:
        """Begin the sequence of random numbers that the seed names."""
        if self.seed is None or self.seed < 0:
            torch.seed()
        else:
            torch.manual_seed(self.seed)
