"""Makes a step that verifies guesses look, to a caller's processors and streamer, like steps of one token each."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper
from transformers.generation.streamers import BaseStreamer


class Verifying(LogitsProcessorList):
    """The processors of a call, asked for a token only while every guess before it was right.

    So processors that remember see the calls that they would see without guesses, and sampling draws the same tokens
    from the same random numbers. A drawn token is made the likeliest: decode greedily with these.
    """

    def __init__(self, processors: LogitsProcessorList, *, draws: bool) -> None:
        # transformers does not call an empty list; division by 1 changes no score.
        super().__init__(processors if processors or not draws else [TemperatureLogitsWarper(1.0)])
        self._draws = draws
        self._length = 0
        self._token: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """``scores`` [1, vocabulary] for the token after ``input_ids`` [1, length]."""
        length = input_ids.shape[1]
        if self._token is not None and (length != self._length + 1 or int(input_ids[0, -1]) != self._token):
            return scores  # after a wrong guess nobody will look at them
        processed: torch.Tensor = super().__call__(input_ids, scores, **kwargs)
        if self._draws:
            drawn = torch.multinomial(processed.softmax(dim=-1), num_samples=1)
            processed = torch.full_like(processed, -torch.inf).scatter_(1, drawn, 0.0)
        self._length, self._token = length, int(processed.argmax())
        return processed


class OneByOne(BaseStreamer):
    """Passes tokens that came together on as if they had come one after the other."""

    def __init__(self, inner: BaseStreamer) -> None:
        self._inner = inner

    def put(self, value: torch.Tensor) -> None:
        for token in value.reshape(-1).split(1):
            self._inner.put(token)

    def end(self) -> None:
        self._inner.end()
