"""The hidden states a client has put into the swarm for one sequence: what a new chain must be told."""

from __future__ import annotations

import torch

from swarm_node.messages import WireDtype
from swarm_node.prefix import keys_within, more_keys
from swarm_node.wire_dtype import dtype_name, token_bytes


class History:
    """Inputs [length, hidden] of one sequence, in a buffer that grows by doubling."""

    def __init__(self, wire: WireDtype | None = None) -> None:
        """``wire``: the number format in which they travel, if it is not their own."""
        self._wire = wire
        self._buffer = torch.empty(0, 0)
        self.length = 0
        self._keys = b""
        """Of its beginnings, as far as they were asked for."""

    def append(self, hidden: torch.Tensor) -> None:
        """Add [tokens, hidden] at the end."""
        needed = self.length + len(hidden)
        if needed > len(self._buffer):
            grown = hidden.new_empty(max(64, 2 * len(self._buffer), needed), hidden.shape[1])
            if self.length:
                grown[: self.length] = self._buffer[: self.length]
            self._buffer = grown
        self._buffer[self.length : needed] = hidden
        self.length = needed

    @property
    def token_bytes(self) -> int:
        """Of one token's hidden state on its way."""
        return token_bytes(self._buffer.shape[1], self._wire or dtype_name(self._buffer.dtype))

    def crop(self, length: int) -> None:
        """Forget all but the first ``length`` tokens."""
        self.length = min(self.length, length)
        self._keys = keys_within(self._keys, self.length)

    def since(self, position: int) -> torch.Tensor:
        """[length - position, hidden], a view: valid until the next append or crop."""
        return self._buffer[position : self.length]

    def prefix_keys(self, length: int) -> bytes:
        """Names of the beginnings within the first ``length`` tokens, see prefix.py; each is worked out once."""
        self._keys = more_keys(self._keys, self._buffer[: min(length, self.length)], self._wire)
        return keys_within(self._keys, length)

    def common_prefix(self, other: torch.Tensor) -> int:
        """How many tokens at the beginning are the same in ``other``."""
        count = min(self.length, len(other))
        if count == 0:
            return 0
        same = (self._buffer[:count] == other[:count]).all(dim=1)
        return int(same.long().cumprod(0).sum())
