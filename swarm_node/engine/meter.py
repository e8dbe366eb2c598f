"""What an engine has done so far, for people to watch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarm_node.engine.reservation import PendingStep
from swarm_node.engine.settings import MOVING_MEAN_WEIGHT
from swarm_node.wire import is_decode


@dataclass(frozen=True, slots=True)
class EngineMeter:
    """Counters, and means that move with the newest batches and are None before the first."""

    batches: int = 0
    steps: int = 0
    tokens: int = 0
    prefill_seconds: float | None = None
    """Per prompt token and block, from batches of prompts only."""
    decode_seconds: float | None = None
    """Per decode step and block, from batches of decodes only, however many rows they have."""

    def after(self, batch: Sequence[tuple[PendingStep, int]], finished: int, seconds: float) -> EngineMeter:
        """The meter after a batch of steps, each with its tokens, of which ``finished`` are through."""
        prefill, decode = self.prefill_seconds, self.decode_seconds
        kinds = {is_decode(step.tokens) for step, _taken in batch}
        tokens, blocks = sum(taken for _step, taken in batch), len(batch[0][0].span)
        if kinds == {True}:
            decode = _moved(decode, seconds / blocks)
        elif kinds == {False}:
            prefill = _moved(prefill, seconds / blocks / tokens)
        return EngineMeter(self.batches + 1, self.steps + finished, self.tokens + tokens, prefill, decode)


def _moved(mean: float | None, value: float) -> float:
    return value if mean is None else mean + MOVING_MEAN_WEIGHT * (value - mean)
