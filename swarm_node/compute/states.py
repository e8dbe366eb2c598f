"""What recurrent and convolutional blocks remember of one session, and the way back into its last step."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from swarm_node.compute.settings import REPLAYED_TOKENS

StateName = tuple[int, str, int]
"""Block, ``conv`` or ``recurrent``, and which of those of the block."""
States = Mapping[StateName, torch.Tensor]


class SessionStates:
    """States after all tokens that a session's cache has written; of one size, however many those are.

    A state cannot be taken back token by token. So the states before the last step are kept, and what went into that
    step: who takes back some of its tokens gets the earlier states, and the others go ahead of the next step's.
    Owned by a SequenceCache. No tensor here is ever written to.
    """

    def __init__(self) -> None:
        self._now: dict[StateName, torch.Tensor] = {}
        self._before: dict[StateName, torch.Tensor] = {}
        self._start = 0
        """Tokens before the last step."""
        self._fed: torch.Tensor | None = None
        """Hidden states [tokens, width] that went into the last step; None if they were too many to keep."""
        self._replayed = 0
        """So many of them have to go in again."""

    def get(self, name: StateName) -> torch.Tensor | None:
        """None at a session's beginning."""
        return self._now.get(name)

    def tensors(self) -> list[torch.Tensor]:
        """All that is kept, for whoever counts memory; not what the last step was fed."""
        return [*self._now.values(), *self._before.values()]

    @property
    def replay(self) -> torch.Tensor | None:
        """What has to run again ahead of the next step: hidden states [tokens, width]."""
        return self._fed[: self._replayed] if self._fed is not None and self._replayed else None

    @property
    def replayed(self) -> int:
        """How many tokens that are."""
        return self._replayed

    def reaches(self, length: int) -> bool:
        """Whether the session can be taken back to ``length`` tokens."""
        return length in (0, self._start) or (length > self._start and self._fed is not None)

    def take_back(self, length: int) -> int:
        """Forget what came after ``length`` tokens, fewer than there are; returns how many remain written.

        The others of ``length`` are in ``replay`` then. Raises ValueError where it does not reach.
        """
        if not self.reaches(length):
            raise ValueError(f"the states after {length} tokens are gone")
        if length < self._start:
            self._start = 0
            self._before = {}
        self._now = self._before
        self._replayed = length - self._start
        return self._start

    def stepped(self, start: int, fed: torch.Tensor, states: States) -> None:
        """``fed``, [tokens, width], has run behind the first ``start`` tokens, and led to ``states``."""
        self._before = self._now
        self._now = {**self._now, **states}
        self._start = start
        self._fed = fed.clone() if len(fed) <= REPLAYED_TOKENS else None
        self._replayed = 0
