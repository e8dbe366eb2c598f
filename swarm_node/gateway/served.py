"""The models that a gateway serves, each with what its answers need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from swarm_node.gateway.errors import unknown_model

if TYPE_CHECKING:
    from swarm_node.generate import Batch


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One model, ready to answer."""

    name: str
    """By which requests ask for it."""
    batch: Batch
    tokenizer: Any
    """transformers' tokenizer; None if the model has none."""


class Models(Protocol):
    """The models that can be asked for."""

    def names(self) -> Sequence[str]:
        """What ``/v1/models`` lists, those that still have to be loaded among them."""

    async def served(self, name: str) -> Served:
        """Ready to answer; loaded first if need be. Raises Refused (404) for a name that is not served."""


class OpenModels:
    """Models that were opened beforehand, by whoever made this."""

    def __init__(self, models: Mapping[str, Served]) -> None:
        self._models = models

    def names(self) -> Sequence[str]:
        return list(self._models)

    async def served(self, name: str) -> Served:
        try:
            return self._models[name]
        except KeyError:
            raise unknown_model(name) from None
