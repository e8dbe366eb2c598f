"""Keys and values of one session in the blocks of one node."""

from __future__ import annotations

import torch

from swarm_node.settings import CACHE_FIRST_TOKENS


class SequenceCache:
    """Room for ``max_tokens`` tokens per block, made as it fills.

    Owned by a session's reservation and ended by free(). Only the thread that runs the blocks touches it. A step
    first writes every block's keys and values behind ``length`` and then advances; a step that fails in between
    has changed nothing that counts.
    """

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._length = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def length(self) -> int:
        """Tokens that count; what lies behind them is leftover."""
        return self._length

    def advance(self, tokens: int) -> None:
        """Count ``tokens`` more, after every block has written them."""
        self._length += tokens

    def roll_back(self, length: int) -> None:
        """Forget all tokens from position ``length`` on."""
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot roll back from {self._length} to {length} tokens")
        self._length = length

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Put keys and values, each [heads, tokens, width], behind the tokens that count.

        Returns views of all keys and values up to there, [heads, length + tokens, width].
        """
        end = self._length + keys.shape[1]
        if end > self.max_tokens:
            raise ValueError(f"{end} tokens do not fit into a cache reserved for {self.max_tokens}")
        held = self._layers.get(layer)
        if held is None or held[0].shape[1] < end:
            held = self._layers[layer] = self._grown(held, keys, values, end)
        held[0][:, self._length : end] = keys
        held[1][:, self._length : end] = values
        return held[0][:, :end], held[1][:, :end]

    def token_elements(self) -> dict[int, int]:
        """Numbers kept per token, for each block that has written."""
        return {layer: sum(part.shape[0] * part.shape[2] for part in held) for layer, held in self._layers.items()}

    def free(self) -> None:
        """Give the memory back; the cache is empty after that."""
        self._layers.clear()
        self._length = 0

    def _grown(
        self, held: tuple[torch.Tensor, torch.Tensor] | None, keys: torch.Tensor, values: torch.Tensor, end: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        room = min(self.max_tokens, max(CACHE_FIRST_TOKENS, 1 << (end - 1).bit_length()))
        new = tuple(part.new_empty(part.shape[0], room, part.shape[2]) for part in (keys, values))
        if held is not None:
            for old, part in zip(held, new, strict=True):
                part[:, : self._length] = old[:, : self._length]
        return new[0], new[1]
