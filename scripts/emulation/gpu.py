"""The pace of a GPU: steps take as long as one would compute them.

What travels is scaled down: a hidden state has HIDDEN_SIZE values, and one row of it stands for up to ROW_TOKENS tokens
of a prompt. Prompts of 2,048 rows of 4,096 values would measure the loopback of this machine. Each row says what it is:

- BLOCKS: how many blocks it has passed, so that a client sees that each has passed every block exactly once.
- TOKENS: the tokens of a prompt that it stands for; 0 for a generated token.
- SECONDS: computing time that its sequence still has to wait for; see EmulatedGpu.shared.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from routing.plan.hardware import BlockTime
from swarm_node.compute import Row, SequenceCache

HIDDEN_SIZE = 64
ROW_TOKENS = 8
"""With it the slices into which an engine on a CPU cuts prompts (64 rows beside decodes, 512 alone) stand for those of
an engine on a GPU (512 and 4,096 tokens)."""
BLOCKS, TOKENS, SECONDS = 0, 1, 2


class _Cache(SequenceCache):
    """Holds nothing but a length, and the computing time of its sequence here."""

    def __init__(self, max_tokens: int) -> None:
        super().__init__(max_tokens, reusable=False)  # all prompts look alike here
        self.seconds = 0.0


@dataclass(frozen=True, slots=True)
class EmulatedGpu:
    """How fast a GPU is."""

    time: BlockTime
    """In one block: for a job, for each token of its prompt, and for each later token."""
    shared: bool
    """True: it computes one batch after the other, as real ones do. A batch reads the weights once and computes all of
    its tokens, whichever takes longer. False: jobs do not slow each other down, as the model of arXiv 2604.14993
    has it. Steps then return at once, and the client waits for the seconds that they tell."""

    @property
    def name(self) -> str:
        return f"emulated-{self.time.per_job:.6g}-{self.time.per_input_token:.6g}-{self.time.per_later_token:.6g}"

    def batch_seconds(self, jobs: int, tokens: int) -> float:
        """Time in one block of ``tokens`` tokens at once, of which ``jobs`` are the first of their jobs."""
        computing = max(tokens * self.time.per_input_token, self.time.per_later_token)
        return jobs * self.time.per_job + computing

    def new_cache(self, max_tokens: int) -> SequenceCache:
        return _Cache(max_tokens)

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, blocks: int) -> torch.Tensor:
        """Hidden states [rows, HIDDEN_SIZE], with these blocks added to those passed."""
        started = time.perf_counter()
        output = hidden.clone()
        output[:, BLOCKS] += blocks
        tokens, labelled = _tokens(hidden, rows)
        sizes = [row.tokens for row in rows]
        if self.shared or not labelled:
            jobs = sum(row.cache.length == 0 for row in rows)
            seconds = self.batch_seconds(jobs, int(tokens.clamp(min=1).sum())) * blocks
            time.sleep(max(0.0, started + seconds - time.perf_counter()))
        else:
            for row, part, out in zip(rows, tokens.split(sizes), output.split(sizes), strict=True):
                out[:, SECONDS] += self._owed(row, part, blocks)
        return output

    def _owed(self, row: Row, tokens: torch.Tensor, blocks: int) -> float:
        """Computing time of the row's sequence here up to its end, were there nobody else."""
        assert isinstance(row.cache, _Cache), "made by new_cache"
        times = self.time
        seconds = float(tokens.sum()) * times.per_input_token + int((tokens == 0).sum()) * times.per_later_token
        if row.cache.length == 0:
            seconds += times.per_job
        row.cache.seconds += seconds * blocks
        return row.cache.seconds


def prompt_rows(tokens: int) -> torch.Tensor:
    """Hidden states of a prompt before the first block."""
    full, rest = divmod(tokens, ROW_TOKENS)
    hidden = torch.zeros(full + (rest > 0), HIDDEN_SIZE)
    hidden[:, TOKENS] = ROW_TOKENS
    if rest:
        hidden[-1, TOKENS] = rest
    return hidden


def generated_row() -> torch.Tensor:
    """Hidden state of one generated token before the first block."""
    return torch.zeros(1, HIDDEN_SIZE)


def _tokens(hidden: torch.Tensor, rows: Sequence[Row]) -> tuple[torch.Tensor, bool]:
    """What each row of hidden states stands for, and whether it says so itself.

    A node that measures its speed sends random numbers: a single row is then a generated token, others are prompts.
    """
    told = hidden[:, TOKENS]
    if bool(((told == told.round()) & (told >= 0) & (told <= ROW_TOKENS)).all()):
        return told, True
    return torch.cat([torch.full((row.tokens,), float(ROW_TOKENS if row.tokens > 1 else 0)) for row in rows]), False
