"""Rotary embeddings whose frequencies depend on how long the sequence is (longrope and dynamic scaling).

transformers takes the longest position of the *batch* and remembers the longest it ever saw. Here each row has its
own horizon, rows of different frequencies never share a forward, and nothing is remembered from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class VariableRope:
    """All rotary modules of one model that change with length. Owned by a span; one thread at a time."""

    def __init__(self, model: nn.Module) -> None:
        self._horizon = 0
        self._variants: list[tuple[Any, str, str, int]] = []
        """Module, prefix of its attributes, kind of scaling, length up to which the plain frequencies hold."""
        for module in model.modules():
            if variants := list(_variants(module)):
                self._variants += variants
                module.forward = self._anchored(module.forward)

    @property
    def varies(self) -> bool:
        """False for a model without any."""
        return bool(self._variants)

    def group(self, horizon: int) -> tuple[int, ...]:
        """What rows must agree on to share a forward; ``horizon`` is a sequence's length after its step."""
        return tuple(
            0 if horizon <= limit else 1 if kind == "longrope" else horizon
            for _module, _prefix, kind, limit in self._variants
        )

    def aim(self, horizon: int) -> None:
        """Make the next forward use the frequencies of a sequence of ``horizon`` tokens."""
        self._horizon = horizon
        for module, prefix, kind, limit in self._variants:
            if kind == "dynamic":
                original = getattr(module, f"{prefix}original_inv_freq")
                held = getattr(module, f"{prefix}inv_freq")
                setattr(module, f"{prefix}inv_freq", original.to(held.device))
                setattr(module, f"{prefix}max_seq_len_cached", limit)

    def _anchored(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """``forward`` of a rotary module, shown one position more: the horizon, which it picks its frequencies by."""

        def anchored(x: torch.Tensor, position_ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            last = torch.full_like(position_ids[:, :1], max(0, self._horizon - 1))
            output = forward(x, torch.cat([position_ids, last], dim=1), *args, **kwargs)
            tokens = position_ids.shape[1]
            return tuple(part[:, :tokens] for part in output) if isinstance(output, tuple) else output[:, :tokens]

        return anchored


def longest_alike(model: nn.Module) -> Callable[[int], int | None]:
    """Tells how long a step may make a sequence whose tokens are to see the frequencies that each would see alone.

    It is asked with the sequence's length after the first of them. None: any length.
    """
    variants = [(kind, limit) for module in model.modules() for *_, kind, limit in _variants(module)]

    def longest(length: int) -> int | None:
        ends = [max(limit, length) for kind, limit in variants if length <= limit or kind == "dynamic"]
        return min(ends, default=None)

    return longest


def _variants(module: Any) -> list[tuple[Any, str, str, int]]:
    kinds = getattr(module, "rope_type", None)
    config = getattr(module, "config", None)
    if config is None or kinds is None:
        return []
    found = []
    for layer_type, kind in kinds.items() if isinstance(kinds, dict) else [(None, kinds)]:
        parameters = config.rope_parameters if layer_type is None else config.rope_parameters[layer_type]
        prefix = "" if layer_type is None else f"{layer_type}_"
        if kind == "longrope":
            found.append((module, prefix, "longrope", int(parameters["original_max_position_embeddings"])))
        elif "dynamic" in (kind or ""):
            found.append((module, prefix, "dynamic", int(module.original_max_seq_len)))
    return found
