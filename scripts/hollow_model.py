"""A model whose blocks hand on what they get, at once or after a while.

At once, what a swarm of it costs is what this project's own code costs. After a while, many nodes of one machine
compute at the same time, as nodes on machines of their own do.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from routing.span import Span
from swarm_node.compute import Row, SequenceCache
from swarm_node.model import Footprint, Quant
from swarm_node.program import FreshProgram

PROGRAM = FreshProgram((sys.executable, str(Path(__file__).with_name("hollow_node.py"))))
"""What LocalSwarm runs as a node of it."""


@dataclass(frozen=True, slots=True)
class HollowModel:
    """HostedModel of ``blocks`` blocks that sleep ``token_seconds`` for each token."""

    token_seconds: float = 0.0

    blocks: int = 3
    hidden_size: int = 4096
    """In float32 one token's hidden state has 16 KiB."""
    context_length: int | None = 4096

    @classmethod
    def named(cls, name: str) -> HollowModel:
        """The model whose name is ``name``."""
        return cls(float(name.removeprefix("hollow-")))

    @property
    def name(self) -> str:
        return f"hollow-{self.token_seconds:g}"

    @property
    def fingerprint(self) -> str:
        return self.name

    def resolve_dtype(self, name: str) -> torch.dtype:
        return torch.float32

    def footprint(self, dtype: torch.dtype, quant: Quant) -> Footprint:
        return Footprint(block_bytes=1, token_bytes=1)

    def device_name(self, device: str) -> str:
        return self.name

    def fetch(self, span: Span) -> None:
        pass

    def load(self, span: Span, dtype: torch.dtype, quant: Quant, device: str) -> HollowBlocks:
        return HollowBlocks(span, self.hidden_size, self.token_seconds)


class HollowBlocks:
    """HostedBlocks of a HollowModel."""

    def __init__(self, span: Span, hidden_size: int, token_seconds: float) -> None:
        self.span = span
        self.hidden_size = hidden_size
        self._token_seconds = token_seconds
        self.device = torch.device("cpu")

    def keep(self, span: Span) -> None:
        self.span = span

    def extend(self, other: HollowBlocks) -> None:
        self.span = Span(min(self.span.start, other.span.start), max(self.span.end, other.span.end))

    def new_cache(self, max_tokens: int) -> SequenceCache:
        return SequenceCache(max_tokens)

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, span: Span | None = None) -> torch.Tensor:
        """``hidden`` itself; the caches of ``rows`` grow by their tokens."""
        if self._token_seconds:
            time.sleep(self._token_seconds * len(hidden) * len(span or self.span))
        for row in rows:
            row.cache.advance(row.tokens)
        return hidden
