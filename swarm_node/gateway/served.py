"""The models that a gateway serves, each with what its answers need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import trio

from routing.errors import ModelError
from swarm_node.gateway.errors import unknown_model
from swarm_node.gateway.logprobs import TokenNames
from swarm_node.generate import Batch
from swarm_node.text import end_tokens


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Served:
    """One model, ready to answer. Its batch belongs to who opened that."""

    name: str
    """By which requests ask for it."""
    batch: Batch
    tokenizer: Any
    """transformers' tokenizer."""
    ends: tuple[int, ...]
    """Tokens that end an answer."""
    names: TokenNames

    @classmethod
    async def of(cls, name: str, batch: Batch) -> Self:
        """Read the tokenizer. Raises ModelError if there is none, or it cannot be read."""
        return await trio.to_thread.run_sync(cls._of, name, batch)

    @classmethod
    def _of(cls, name: str, batch: Batch) -> Self:
        tokenizer = batch.source.tokenizer()
        if tokenizer is None:
            raise ModelError(f"{name} has no tokenizer, and a gateway answers in words; use swarm generate --token-ids")
        ends = tuple(end_tokens(tokenizer, batch.source.generation_config))
        return cls(name, batch, tokenizer, ends, TokenNames(tokenizer))

    @property
    def model_type(self) -> str:
        """As its config names it."""
        kind: str = self.batch.source.config.model_type
        return kind

    @property
    def vocabulary(self) -> int:
        """Token ids are below it."""
        size: int = self.batch.source.config.get_text_config().vocab_size
        return size


class Models(Protocol):
    """The models that can be asked for."""

    def names(self) -> Sequence[str]:
        """What ``/v1/models`` lists, those that still have to be loaded among them."""

    def absent(self) -> str | None:
        """One line on why there are none; None if there are."""

    async def served(self, name: str) -> Served:
        """Ready to answer; loaded first if need be. Raises Refused (404) for a name that is not served."""


class OpenModels:
    """Models that were opened beforehand, by whoever made this."""

    def __init__(self, models: Sequence[Served]) -> None:
        self._models: Mapping[str, Served] = {model.name: model for model in models}

    def names(self) -> Sequence[str]:
        return list(self._models)

    def absent(self) -> str | None:
        return None

    async def served(self, name: str) -> Served:
        try:
            return self._models[name]
        except KeyError:
            raise unknown_model(name) from None
