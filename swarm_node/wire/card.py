"""What nodes and clients of a swarm agree on about its model."""

from __future__ import annotations

from typing import Protocol


class ModelCard(Protocol):
    """A model as a client knows it: a ModelSource is one."""

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
