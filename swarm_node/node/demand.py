"""How many jobs come to a node lately, and how long they are."""

from __future__ import annotations

import math
from collections.abc import Callable

from swarm_node.node.settings import DEMAND_SECONDS

_FORGOTTEN = 0.01
"""Of a session: what is left of one after five times DEMAND_SECONDS."""


class Demand:
    """Counters of one node's sessions that forget with time; kept by its session host, read by its announcer.

    A job uses every block of the model once, on whichever nodes. Each node counts it as the share of the blocks that
    it was asked for, so that the counts of all nodes add up to the jobs of the swarm.
    """

    def __init__(self, blocks: int, clock: Callable[[], float]) -> None:
        """``blocks``: of the whole model; ``clock``: seconds that only grow."""
        self._blocks = blocks
        self._clock = clock
        self._started_at = self._faded_at = clock()
        self._jobs = 0.0
        self._ended = 0.0
        self._prompt_tokens = 0.0
        self._new_tokens = 0.0

    def opened(self, blocks: int) -> None:
        """A session was admitted to so many blocks."""
        self._fade()
        self._jobs += blocks / self._blocks

    def ended(self, prompt_tokens: int, new_tokens: int) -> None:
        """A session has ended after so many tokens of prompt and of answer."""
        self._fade()
        self._ended += 1
        self._prompt_tokens += prompt_tokens
        self._new_tokens += new_tokens

    @property
    def job_rate(self) -> float:
        """Jobs per second, over about the last DEMAND_SECONDS or since this node began."""
        self._fade()
        # The weights of the past, integrated: what a steady stream of one job a second has left.
        return self._jobs / max(DEMAND_SECONDS * (1 - math.exp(-self._age() / DEMAND_SECONDS)), 1.0)

    @property
    def prompt_tokens(self) -> float:
        """Mean of the sessions that ended lately; 0 if there were none."""
        return self._prompt_tokens / self._ended if self._ended > _FORGOTTEN else 0.0

    @property
    def new_tokens(self) -> float:
        return self._new_tokens / self._ended if self._ended > _FORGOTTEN else 0.0

    def _age(self) -> float:
        return self._clock() - self._started_at

    def _fade(self) -> None:
        now = self._clock()
        kept = math.exp((self._faded_at - now) / DEMAND_SECONDS)
        self._faded_at = now
        self._jobs *= kept
        self._ended *= kept
        self._prompt_tokens *= kept
        self._new_tokens *= kept
