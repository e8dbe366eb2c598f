"""OpenAI's own ways to make tokens likelier or less likely, as transformers' logits processors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from transformers import LogitsProcessor


class TokenBias(LogitsProcessor):
    """Adds to the logits of some tokens."""

    def __init__(self, bias: Mapping[int, float], device: str | torch.device = "cpu") -> None:
        """``bias`` by token id; every id must be one of the vocabulary."""
        self._ids = torch.tensor(list(bias), dtype=torch.long, device=device)
        self._bias = torch.tensor(list(bias.values()), dtype=torch.float32, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores.index_add(1, self._ids, self._bias.to(scores.dtype)[None].expand(len(scores), -1))


class AnswerPenalties(LogitsProcessor):
    """Takes ``frequency`` off the logits of a token for each time that it is in the answer, and ``presence`` once."""

    def __init__(self, prompt_tokens: int, frequency: float, presence: float) -> None:
        """``prompt_tokens``: the prompt's length, whose tokens do not count."""
        self._prompt_tokens = prompt_tokens
        self._frequency = frequency
        self._presence = presence

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        vocabulary = scores.shape[1]
        counts = torch.stack([row.bincount(minlength=vocabulary) for row in input_ids[:, self._prompt_tokens :]])
        return scores - self._frequency * counts - self._presence * (counts > 0)
