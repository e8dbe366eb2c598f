"""A model without weights: what nodes and clients agree on, and what its blocks cost."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import torch

from emulation.blocks import EmulatedBlocks, TokenPace
from emulation.gpu import HIDDEN_SIZE, ROW_TOKENS, EmulatedGpu
from routing import Card, ModelShape, Span
from swarm_node.model import Footprint, Quant
from swarm_node.model.settings import WIRE_VERSION
from swarm_node.settings import SESSION_TOKENS
from swarm_node.wire import DtypeLike


@dataclass(frozen=True, slots=True)
class EmulatedCard:
    """ModelCard of a model of this shape, whose session has SESSION_TOKENS tokens of cache.

    Its fingerprint is of a kind of its own, so that it never mixes with a real swarm, and depends on all that nodes and
    clients must agree on.
    """

    shape: ModelShape
    name: str = "emulated"
    hidden_size: int = HIDDEN_SIZE
    context_length: int | None = SESSION_TOKENS

    @property
    def fingerprint(self) -> str:
        told = f"{WIRE_VERSION} {self.hidden_size} {ROW_TOKENS} {self.shape} {self.name}"
        return "emulated-" + hashlib.sha256(told.encode()).hexdigest()[:23]

    @property
    def blocks(self) -> int:
        return self.shape.blocks

    @property
    def token_bytes(self) -> int:
        """Cache of one token in one block."""
        return int(self.shape.cache_bytes / SESSION_TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedModel(EmulatedCard):
    """HostedModel on one machine."""

    pace: EmulatedGpu | TokenPace
    load_seconds: float = 0.0
    """For one block; it is in the node's hands already, so that fetching takes no time."""

    @property
    def card(self) -> Card:
        """Whose weights are nobody's."""
        return Card(
            name=self.name,
            revision=None,
            fingerprint=self.fingerprint,
            blocks=self.blocks,
            hidden_size=self.hidden_size,
            context_length=self.context_length,
            architecture="emulated",
            dtype="float32",
            size_bytes=0,
        )

    def resolve_dtype(self, given: DtypeLike) -> torch.dtype:
        """What blocks count would not be exact in less than float32."""
        return torch.float32

    def footprint(self, dtype: torch.dtype, quant: Quant) -> Footprint:
        return Footprint(int(self.shape.block_bytes), self.token_bytes)

    def device_name(self, device: str) -> str:
        return self.pace.name

    def fetch(self, span: Span) -> None:
        pass

    def load(self, span: Span, dtype: torch.dtype, quant: Quant, device: str) -> EmulatedBlocks:
        time.sleep(self.load_seconds * len(span))
        return EmulatedBlocks(self.pace, span, self.hidden_size)


def token_paced(token_seconds: float) -> EmulatedModel:
    """Three blocks at a TokenPace, as wide as those of a large model: a token's hidden state has 16 KiB in float32."""
    shape = ModelShape(blocks=3, block_bytes=1, cache_bytes=SESSION_TOKENS)
    return EmulatedModel(shape, hidden_size=4096, context_length=4096, pace=TokenPace(token_seconds))
