"""Blocks without weights, at a pace that says what a step takes: an engine runs them as it runs real ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from routing.errors import ProtocolError
from routing.span import Span
from swarm_node.compute import Row, SequenceCache


class Pace(Protocol):
    """How long steps take, and what comes of hidden states."""

    @property
    def name(self) -> str:
        """Two paces of one name are equally fast."""

    def new_cache(self, max_tokens: int) -> SequenceCache: ...

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, blocks: int) -> torch.Tensor:
        """Hidden states after so many blocks, and after their time; the caches of ``rows`` do not grow here."""


@dataclass(frozen=True, slots=True)
class TokenPace:
    """Every token takes ``token_seconds`` in every block, whatever else there is, and stays as it was.

    With 0, what a swarm costs is what this project's own code costs. With more, many nodes of one machine compute at
    the same time, as nodes on machines of their own do.
    """

    token_seconds: float

    @property
    def name(self) -> str:
        return f"{self.token_seconds:g} s a token"

    def new_cache(self, max_tokens: int) -> SequenceCache:
        return SequenceCache(max_tokens)

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, blocks: int) -> torch.Tensor:
        if self.token_seconds:
            time.sleep(self.token_seconds * len(hidden) * blocks)
        return hidden


class EmulatedBlocks:
    """HostedBlocks at a pace. Owned by whoever loaded it, holds nothing."""

    def __init__(self, pace: Pace, span: Span, hidden_size: int) -> None:
        self.span = span
        self.hidden_size = hidden_size
        self.device = torch.device("cpu")
        self._pace = pace

    def keep(self, span: Span) -> None:
        if not self.span.covers(span):
            raise ValueError(f"blocks {span} are not among the hosted {self.span}")
        self.span = span

    def extend(self, other: EmulatedBlocks) -> None:
        if other.span.end != self.span.start and other.span.start != self.span.end:
            raise ValueError(f"blocks {other.span} do not continue {self.span}")
        self.span = Span(min(self.span.start, other.span.start), max(self.span.end, other.span.end))

    def new_cache(self, max_tokens: int) -> SequenceCache:
        return self._pace.new_cache(max_tokens)

    def session_tokens(self, max_tokens: int, span: Span) -> int:
        return max_tokens * len(span)

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, span: Span | None = None) -> torch.Tensor:
        """Hidden states [tokens, hidden_size] after the blocks of ``span``, and after their time.

        Raises ProtocolError if ``span`` is not hosted here.
        """
        span = self.span if span is None else span
        if not self.span.covers(span):
            raise ProtocolError(f"blocks {span} are not among the hosted {self.span}")
        output = self._pace.step(rows, hidden, len(span))
        for row in rows:
            row.cache.advance(row.tokens)
        return output
