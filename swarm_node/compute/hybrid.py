"""A rectangle of sessions whose blocks remember states beside keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from swarm_node.compute.cache import SequenceCache
from swarm_node.compute.rectangle import RectangleCache
from swarm_node.compute.states import StateName


class HybridCache(RectangleCache):
    """As RectangleCache; each session's states are stacked on the way in and taken apart on the way out.

    Blocks may change what they are given in place and say nothing, so they get copies.
    """

    def __init__(self, caches: Sequence[SequenceCache], tokens: int) -> None:
        super().__init__(caches, tokens)
        self._given: dict[StateName, torch.Tensor] = {}
        self._made: dict[StateName, torch.Tensor] = {}

    def go_on(self, tokens: int) -> None:
        super().go_on(tokens)
        self._given |= self._made
        self._made = {}

    def keep(self, hidden: torch.Tensor) -> None:
        """The step of ``hidden``, [rows, tokens, width], is through: every session keeps its states."""
        left = self._given | self._made
        self._given, self._made = {}, {}
        own: list[dict[StateName, torch.Tensor]] = [{} for _ in self._caches]
        for name in list(left):
            states = left.pop(name)  # so that a large batch's are never there twice
            for row, mine in enumerate(own):
                mine[name] = _alone(states[row])
        for row, cache in enumerate(self._caches):
            cache.stepped(hidden[row], own[row])

    def has_previous_state(self, layer_idx: int | None = None, state_idx: int | None = None) -> bool:
        return self._begun > 0 or any(cache.written for cache in self._caches)

    def is_recording_past(self, layer_idx: int) -> bool:
        return False

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> torch.Tensor | None:
        return self._stacked((layer_idx, "conv", state_idx))

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> torch.Tensor | None:
        return self._stacked((layer_idx, "recurrent", state_idx))

    def update_conv_state(
        self, conv_states: torch.Tensor, layer_idx: int, state_idx: int = 0, conv_kernel_size: int | None = None,
        **_: Any,
    ) -> torch.Tensor:  # fmt: skip
        name = (layer_idx, "conv", state_idx)
        width = conv_kernel_size or conv_states.shape[-1]
        past = self._stacked(name)
        if past is None:
            past = conv_states.new_zeros(*conv_states.shape[:-1], width)
        seen = torch.cat([past.to(conv_states.dtype), conv_states], dim=-1)
        self._make(name, seen[..., -width:].clone())  # a view would keep all of a long prompt
        return seen

    def update_recurrent_state(
        self, recurrent_states: torch.Tensor, layer_idx: int, state_idx: int = 0, **_: Any
    ) -> torch.Tensor:
        self._make((layer_idx, "recurrent", state_idx), recurrent_states)
        return recurrent_states

    def look(self, layer: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """For whoever changes nothing of it: a layer's states, each [rows, …]; None if no session has any."""
        found = [self._stacked((layer, kind, 0), copy=False) for kind in ("conv", "recurrent")]
        return (found[0], found[1]) if found[0] is not None and found[1] is not None else None

    def put(self, layer: int, conv: torch.Tensor, recurrent: torch.Tensor) -> None:
        """What a layer has come to, each [rows, …]."""
        self._make((layer, "conv", 0), conv)
        self._make((layer, "recurrent", 0), recurrent)

    def get_linear_cache(self, layer_idx: int) -> torch.Tensor | None:
        return self._stacked((layer_idx, "recurrent", 0))

    def set_linear_cache(self, layer_idx: int, linear_cache: torch.Tensor) -> None:
        self._make((layer_idx, "recurrent", 0), linear_cache)

    def _make(self, name: StateName, states: torch.Tensor) -> None:
        self._made[name] = states
        self._given.pop(name, None)

    def _stacked(self, name: StateName, *, copy: bool = True) -> torch.Tensor | None:
        """The rows' states, zeros where a session begins; None if all do."""
        if not copy and len(self._caches) == 1 and name not in self._given:
            states = self._caches[0].states
            only = None if states is None else states.get(name)
            return None if only is None else only[None]
        if name not in self._given:
            held = [None if cache.states is None else cache.states.get(name) for cache in self._caches]
            like = next((state for state in held if state is not None), None)
            if like is None:
                return None
            self._given[name] = torch.stack([torch.zeros_like(like) if state is None else state for state in held])
        return self._given[name]


def _alone(part: torch.Tensor) -> torch.Tensor:
    """``part``, or a copy if that is of a larger tensor: whoever keeps a part keeps all of it."""
    return part if part.untyped_storage().nbytes() == part.nbytes else part.clone()
