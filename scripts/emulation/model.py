"""A model without weights for emulated GPUs: what nodes and clients agree on, and what its blocks cost."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import torch

from routing.cluster import ModelShape
from routing.span import Span
from swarm_node.model import Footprint, Quant
from swarm_node.model.settings import WIRE_VERSION
from swarm_node.settings import SESSION_TOKENS
from testbed.emulated_gpu import HIDDEN_SIZE, ROW_TOKENS, EmulatedBlocks, EmulatedGpu


@dataclass(frozen=True, slots=True)
class EmulatedCard:
    """ModelCard of a model of this shape, whose session has SESSION_TOKENS tokens of cache.

    Its fingerprint is of a kind of its own, so that it never mixes with a real swarm, and depends on all that nodes and
    clients must agree on.
    """

    shape: ModelShape
    name: str = "emulated"

    @property
    def fingerprint(self) -> str:
        told = f"{WIRE_VERSION} {HIDDEN_SIZE} {ROW_TOKENS} {self.shape} {self.name}"
        return "emulated-" + hashlib.sha256(told.encode()).hexdigest()[:23]

    @property
    def blocks(self) -> int:
        return self.shape.blocks

    @property
    def hidden_size(self) -> int:
        return HIDDEN_SIZE

    @property
    def context_length(self) -> int | None:
        return SESSION_TOKENS

    @property
    def token_bytes(self) -> int:
        """Cache of one token in one block."""
        return int(self.shape.cache_bytes / SESSION_TOKENS)


@dataclass(frozen=True, slots=True)
class EmulatedModel:
    """HostedModel on one GPU."""

    card: EmulatedCard
    gpu: EmulatedGpu
    load_seconds: float
    """For one block; it is in the node's hands already, so that fetching takes no time."""

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def fingerprint(self) -> str:
        return self.card.fingerprint

    @property
    def blocks(self) -> int:
        return self.card.blocks

    @property
    def hidden_size(self) -> int:
        return self.card.hidden_size

    @property
    def context_length(self) -> int | None:
        return self.card.context_length

    def resolve_dtype(self, name: str) -> torch.dtype:
        """What blocks count would not be exact in less than float32."""
        return torch.float32

    def footprint(self, dtype: torch.dtype, quant: Quant) -> Footprint:
        return Footprint(int(self.card.shape.block_bytes), self.card.token_bytes)

    def device_name(self, device: str) -> str:
        times = self.gpu.time
        return f"emulated-{times.per_job:.6g}-{times.per_input_token:.6g}-{times.per_later_token:.6g}"

    def fetch(self, span: Span) -> None:
        pass

    def load(self, span: Span, dtype: torch.dtype, quant: Quant, device: str) -> EmulatedBlocks:
        time.sleep(self.load_seconds * len(span))
        return EmulatedBlocks(self.gpu, span)
