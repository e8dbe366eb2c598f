"""What a node must know of a model to host some of its blocks: the seam between a node and where weights come from."""

from __future__ import annotations

import platform
from typing import Protocol

import torch

from routing.span import Span
from swarm_node.block_span import BlockSpan
from swarm_node.blocks import fetch_span, load_span
from swarm_node.footprint import Footprint
from swarm_node.hosted_blocks import HostedBlocks
from swarm_node.model_source import ModelSource
from swarm_node.quantised import Quant


class ModelCard(Protocol):
    """What nodes and clients agree on about a model."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def blocks(self) -> int:
        """How many blocks the model has."""

    @property
    def hidden_size(self) -> int: ...

    @property
    def context_length(self) -> int | None: ...


class HostedModel(ModelCard, Protocol):
    """A model whose blocks can be loaded here. All of it may block for disk and network: call it in a thread."""

    def resolve_dtype(self, name: str) -> torch.dtype: ...

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
