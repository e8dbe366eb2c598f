"""What one block of a model costs: weights, what it caches of a token, and what it remembers of a session."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from routing.span import Span
from swarm_node.model.quant import Quant, linear_bytes


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory that one block takes."""

    block_bytes: int
    """Weights of one block, of the largest where they differ."""
    token_bytes: int
    """Keys and values of one token in one block, on average over all."""
    state_tokens: int = 0
    """Tokens whose keys and values take as much as what a block remembers of every session, however long it is: on
    average, now and before its last step."""


@dataclass(frozen=True, slots=True)
class BlockShapes:
    """What the blocks of a model look like, whatever their weights."""

    list_name: str
    """Attribute that holds the blocks: ``layers``, ``h``, ``blocks``."""
    beside: tuple[str, ...]
    """Names of the parts that see or hear, which text does not need."""
    hidden_size: int
    """Width of the hidden state between blocks."""
    output_length: int
    """0 if a block returns a bare tensor, else the length of the tuple it returns."""
    parameters: tuple[int, ...]
    """Parameters of each block."""
    linear_parameters: tuple[int, ...]
    """Those of them that are weights of linear layers, which may be kept in fewer bits."""
    linear_outputs: tuple[int, ...]
    """Outputs of each block's linear layers, each of which then has a scale."""
    token_elements: tuple[int, ...]
    """Numbers that each block caches per token."""
    state_elements: tuple[int, ...]
    """Numbers that each block remembers of a session however long it is, of the type of its weights."""
    exact_state_elements: tuple[int, ...]
    """The same of those that are float32 whatever the weights are."""

    @property
    def remembers(self) -> list[bool]:
        """Whether each block keeps anything of a session."""
        kept = zip(self.token_elements, self.state_elements, self.exact_state_elements, strict=True)
        return [any(of_block) for of_block in kept]

    @property
    def keeps_states(self) -> bool:
        """Whether any block remembers more of a session than keys and values."""
        return any(self.state_elements) or any(self.exact_state_elements)

    def footprint(self, dtype: torch.dtype, quant: Quant = Quant.NONE) -> Footprint:
        every = Span(0, len(self.parameters))
        return Footprint(
            max(self._block_bytes(dtype, quant)),
            self._token_bytes(dtype),
            -(-self.session_bytes(0, every, dtype) // (self._token_bytes(dtype) * len(every))),
        )

    def session_bytes(self, max_tokens: int, span: Span, dtype: torch.dtype) -> int:
        """What a session of at most ``max_tokens`` tokens takes in the blocks of ``span``."""
        blocks = slice(span.start, span.end)
        tokens = sum(self.token_elements[blocks]) * max_tokens * dtype.itemsize
        states = sum(self.state_elements[blocks]) * dtype.itemsize + sum(self.exact_state_elements[blocks]) * 4
        return tokens + 2 * states  # those before the last step too

    def session_tokens(self, max_tokens: int, span: Span, dtype: torch.dtype) -> int:
        """The same in tokens of the average block."""
        return -(-self.session_bytes(max_tokens, span, dtype) // self._token_bytes(dtype))

    def _token_bytes(self, dtype: torch.dtype) -> int:
        """Of the average block; at least 1."""
        return max(1, -(-sum(self.token_elements) * dtype.itemsize // len(self.token_elements)))

    def _block_bytes(self, dtype: torch.dtype, quant: Quant) -> list[int]:
        return [
            (count - linear) * dtype.itemsize + linear_bytes(quant, linear, outputs, dtype)
            for count, linear, outputs in zip(self.parameters, self.linear_parameters, self.linear_outputs, strict=True)
        ]
