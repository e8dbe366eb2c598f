"""What an engine runs: a BlockSpan, or something that only takes as long as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from routing.span import Span
from swarm_node.block_span import Row
from swarm_node.cache import SequenceCache


class HostedBlocks(Protocol):
    """Some consecutive blocks of a model, ready to run; not for two threads at once."""

    span: Span
    hidden_size: int
    device: torch.device

    def keep(self, span: Span) -> None:
        """Drop all blocks but these."""

    def extend(self, other: Any) -> None:
        """Take over the blocks of another of this kind, which come right before or after those here."""

    def new_cache(self, max_tokens: int) -> SequenceCache: ...

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, span: Span | None = None) -> torch.Tensor: ...
