"""An answer on standard output, character by character as it comes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria

from routing.errors import UsageError
from swarm_node.text import Stops, TextPieces


class Screen(StoppingCriteria):
    """Shows one answer and ends it at a stop string. Owned by whoever asks; ``end`` or ``break_off`` ends it.

    transformers asks it after each token whether to stop. Without a tokenizer the answer is token ids and commas.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None, stop: Sequence[str] = (), *, show: bool) -> None:
        """``stop``: strings that end the answer, and are not part of it."""
        if stop and tokenizer is None:
            raise UsageError("this model has no tokenizer, so no text for --stop to be found in; leave it out")
        self.token_ids: list[int] = []
        self.started = time.perf_counter()
        self.first: float | None = None
        """When the first token came."""
        self._pieces = TextPieces(tokenizer) if tokenizer is not None else None
        self._stops = Stops(stop)
        self._show = show
        self._shown: list[str] = []

    @property
    def text(self) -> str | None:
        """What came so far; None without a tokenizer."""
        return "".join(self._shown) if self._pieces is not None else None

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met."""
        return self._stops.stopped is not None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """transformers' hook: ``input_ids`` [1, length] end with a new token."""
        self.push(int(input_ids[0, -1]))
        return torch.tensor([self.stopped], device=input_ids.device)

    def push(self, token_id: int) -> None:
        """One token more."""
        if self.stopped:
            return
        if self.first is None:
            self.first = time.perf_counter()
        self.token_ids.append(token_id)
        if self._pieces is not None:
            self._write(self._stops.push(self._pieces.push(token_id)))
        else:
            self._write(f",{token_id}" if len(self.token_ids) > 1 else str(token_id))

    def end(self) -> None:
        """Show what was held back."""
        if self._pieces is not None and not self.stopped:
            self._write(self._stops.push(self._pieces.end()) + self._stops.end())
        if self._show:
            print(flush=True)

    def break_off(self) -> None:
        """Leave the answer as it is, so that what comes next has a line of its own."""
        if self._show and self._shown:
            with suppress(OSError):
                print(flush=True)

    def _write(self, text: str) -> None:
        if text:
            self._shown.append(text)
            if self._show:
                print(text, end="", flush=True)
