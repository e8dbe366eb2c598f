"""What a node and its engine ask of a model whose blocks they host: the seam to where weights come from."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from routing import Card, Span
from swarm_node.compute.cache import Row, SequenceCache
from swarm_node.compute.loading import fetch_span, load_span
from swarm_node.compute.span import BlockSpan
from swarm_node.model import Footprint, ModelSource, Quant
from swarm_node.wire import DtypeLike, ModelCard


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

    def session_tokens(self, max_tokens: int, span: Span) -> int:
        """Block-tokens that a session of at most ``max_tokens`` tokens takes in the blocks of ``span``."""

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, span: Span | None = None) -> torch.Tensor: ...


class HostedModel(ModelCard, Protocol):
    """A model whose blocks can be loaded here. All of it may block for disk and network: call it in a thread."""

    @property
    def card(self) -> Card:
        """What a node that serves it tells everybody."""

    def resolve_dtype(self, given: DtypeLike) -> torch.dtype: ...

    def footprint(self, dtype: torch.dtype, quant: Quant) -> Footprint: ...

    def device_name(self, device: str) -> str:
        """What kind of device it is: two of one name are equally fast."""

    def fetch(self, span: Span) -> None:
        """Bring the files of these blocks to this machine, so that a later load() takes no download."""

    def load(self, span: Span, dtype: torch.dtype, quant: Quant, device: str) -> HostedBlocks: ...


class StoredModel(ModelSource):
    """A ModelSource as a HostedModel: its weights are in files."""

    __slots__ = ()

    def device_name(self, device: str) -> str:
        return torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()

    def fetch(self, span: Span) -> None:
        fetch_span(self, span)

    def load(self, span: Span, dtype: torch.dtype, quant: Quant, device: str) -> BlockSpan:
        return load_span(self, span, dtype=dtype, quant=quant, device=device)
