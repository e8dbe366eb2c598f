"""What one block of a model costs: weights, what it caches of a token, and what it remembers of a session."""

from __future__ import annotations

from collections.abc import Sequence
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
    """What the blocks of a model look like, whatever their weights.

    A block is what a node may host without the others: a layer of the model, or several where these need of each other
    more than hidden states.
    """

    list_name: str
    """Attribute that holds the blocks: ``layers``, ``h``, ``blocks``."""
    beside: tuple[str, ...]
    """Names of the parts that see or hear, which text does not need."""
    hidden_size: int
    """Numbers of a token between blocks, in all its streams."""
    streams: int
    """Hidden states that each token has between blocks, side by side; of most models one."""
    output_length: int
    """0 if a block returns a bare tensor, else the length of the tuple it returns."""
    starts: tuple[int, ...]
    """The first layer of each block."""
    parameters: tuple[int, ...]
    """Parameters of each layer, as all that follows."""
    linear_parameters: tuple[int, ...]
    """Those of them that are weights of linear layers, which may be kept in fewer bits."""
    linear_outputs: tuple[int, ...]
    """Outputs of its linear layers, each of which then has a scale."""
    token_elements: tuple[int, ...]
    """Numbers that it caches per token."""
    state_elements: tuple[int, ...]
    """Numbers that it remembers of a session however long that is, of the type of its weights."""
    exact_state_elements: tuple[int, ...]
    """The same of those that are float32 whatever the weights are."""

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self.starts)

    @property
    def grouped(self) -> bool:
        """Whether a block may be several layers."""
        return len(self.starts) < len(self.parameters)

    def layers(self, span: Span) -> Span:
        """The layers of the blocks of ``span``."""
        ends = (*self.starts[1:], len(self.parameters))
        return Span(self.starts[span.start], ends[span.end - 1])

    @property
    def block_parameters(self) -> int:
        """Of the largest block."""
        return max(self._of_blocks(self.parameters))

    @property
    def remembers(self) -> list[bool]:
        """Whether each layer keeps anything of a session."""
        kept = zip(self.token_elements, self.state_elements, self.exact_state_elements, strict=True)
        return [any(of_block) for of_block in kept]

    @property
    def keeps_states(self) -> bool:
        """Whether any layer remembers more of a session than keys and values."""
        return any(self.state_elements) or any(self.exact_state_elements)

    def footprint(self, dtype: torch.dtype, quant: Quant = Quant.NONE) -> Footprint:
        every = Span(0, self.blocks)
        return Footprint(
            max(self._block_bytes(dtype, quant)),
            self._token_bytes(dtype),
            -(-self.session_bytes(0, every, dtype) // (self._token_bytes(dtype) * len(every))),
        )

    def session_bytes(self, max_tokens: int, span: Span, dtype: torch.dtype) -> int:
        """What a session of at most ``max_tokens`` tokens takes in the blocks of ``span``."""
        layers = slice(self.layers(span).start, self.layers(span).end)
        tokens = sum(self.token_elements[layers]) * max_tokens * dtype.itemsize
        states = sum(self.state_elements[layers]) * dtype.itemsize + sum(self.exact_state_elements[layers]) * 4
        return tokens + 2 * states  # those before the last step too

    def session_tokens(self, max_tokens: int, span: Span, dtype: torch.dtype) -> int:
        """The same in tokens of the average block."""
        return -(-self.session_bytes(max_tokens, span, dtype) // self._token_bytes(dtype))

    def _token_bytes(self, dtype: torch.dtype) -> int:
        """Of the average block; at least 1."""
        return max(1, -(-sum(self.token_elements) * dtype.itemsize // self.blocks))

    def _block_bytes(self, dtype: torch.dtype, quant: Quant) -> list[int]:
        return self._of_blocks(
            [
                (count - linear) * dtype.itemsize + linear_bytes(quant, linear, outputs, dtype)
                for count, linear, outputs in zip(
                    self.parameters, self.linear_parameters, self.linear_outputs, strict=True
                )
            ]
        )

    def _of_blocks(self, of_layers: Sequence[int]) -> list[int]:
        """Sums over the layers of each block."""
        ends = (*self.starts[1:], len(self.parameters))
        return [sum(of_layers[start:end]) for start, end in zip(self.starts, ends, strict=True)]


def even_starts(legal: Sequence[int], layers: int) -> tuple[int, ...]:
    """Where blocks begin of a model of so many ``layers`` that may be cut before those of ``legal``, 0 among them.

    Memory is planned as if all blocks were as large as the largest, so small ones are put together up to its size.
    """
    sizes = [end - start for start, end in zip(legal, (*legal[1:], layers), strict=True)]
    largest, starts, size = max(sizes), [legal[0]], 0
    for start, layers_there in zip(legal, sizes, strict=True):
        if size + layers_there > largest:
            starts.append(start)
            size = 0
        size += layers_there
    return tuple(starts)
