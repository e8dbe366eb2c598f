"""What a batch is asked for one text, and the tokens that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import LogitsProcessor


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One text to continue, as ``model.generate`` would alone."""

    prompt: Sequence[int]
    """Token ids, at least one."""
    max_new_tokens: int
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments by transformers' names: ``do_sample``, ``temperature``, ``eos_token_id`` … No beams."""
    processors: Sequence[LogitsProcessor] = ()
    """Called after transformers' own, with [1, length] and [1, vocabulary]; for this request alone."""
    seed: int | None = None
    """Of the drawn tokens, as ``transformers.set_seed`` takes it. None: other tokens each time."""
    top_logprobs: int | None = None
    """Likeliest tokens to name beside each; None: no log probabilities at all."""
    prompt_logprobs: bool = False
    """Whether to tell those of the prompt's tokens too."""
    owner: str = ""
    """Whose request it is: nodes let nobody profit from, or notice, what another owner has sent."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text."""

    id: int
    logprob: float | None = None
    """Natural logarithm of the model's own probability, before any processor; None unless asked for."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens in its place, with theirs, the likeliest first."""
