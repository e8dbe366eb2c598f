"""Keys and values of one session in the blocks of one node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from routing.span import Span
from swarm_node.compute.settings import CACHE_FIRST_TOKENS
from swarm_node.compute.states import SessionStates, States

Layers = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""Keys and values by block, each [heads, tokens, width]; and by ``index_of`` a block the keys by which it chooses which
of these it looks at, beside values of no width."""


def index_of(block: int) -> int:
    """Where the keys of a block's index are; the block itself, of one of those."""
    return -1 - block


def layers_of(layers: Mapping[int, tuple[torch.Tensor, torch.Tensor]], span: Span) -> Layers:
    """Those of the blocks of ``span``."""
    return {place: held for place, held in layers.items() if (place if place >= 0 else index_of(place)) in span}


PLACE_NUMBERS = 3
"""That tell where a block writes: the address of its keys, that of its values, and the tokens that there is room for in
each head."""


class SequenceCache:
    """Room for ``max_tokens`` tokens per block, made as it fills.

    Owned by a session's reservation and ended by free(). Only the thread that runs the blocks touches it while steps
    run. A step first writes every block's keys and values behind ``length`` and then advances; a step that fails in
    between has changed nothing that counts.

    What it has lent to others, or borrowed from them, it never writes over: it makes a copy of its own first.

    With states, whose tokens count but have to run again, ``length`` counts those too; see SessionStates.
    """

    def __init__(self, max_tokens: int, reusable: bool = True, states: SessionStates | None = None) -> None:
        self.max_tokens = max_tokens
        self.reusable = reusable
        """Whether what it holds depends on the tokens alone, so that it is right for every session that begins so."""
        self.states = states
        """Of blocks that remember more than keys and values; None if the model has no such blocks."""
        self._length = 0
        """Tokens that are written."""
        self._layers: Layers = {}
        self._shared: set[int] = set()
        """Blocks whose tensors others read too, where this session would write."""
        self._lent = 0
        """So many tokens at the beginning others may read."""
        self._placed: tuple[Span, int, np.ndarray] | None = None
        """What places() said last: for which blocks, for how many tokens it holds, and the table."""

    @property
    def length(self) -> int:
        """Tokens that count; what lies behind them is leftover."""
        return self._length + self.replayed

    @property
    def replayed(self) -> int:
        """Those of them that have to run again ahead of the next step."""
        return 0 if self.states is None else self.states.replayed

    @property
    def written(self) -> int:
        """Those of them that need not."""
        return self._length

    def reaches(self, length: int) -> bool:
        """Whether roll_back() can go there."""
        return 0 <= length <= self.length and (
            self.states is None or length == self.length or self.states.reaches(length)
        )

    @property
    def borrows(self) -> bool:
        """Whether a block's keys and values are still another's."""
        return bool(self._shared)

    def advance(self, tokens: int) -> None:
        """Count ``tokens`` more, after every block has written them."""
        self._length += tokens

    def stepped(self, fed: torch.Tensor, states: States) -> None:
        """Count the tokens of ``fed``, [tokens, width], which led to ``states``, after every block has written them."""
        assert self.states is not None, "a model without such blocks has no states to keep"
        self.states.stepped(self._length, fed, states)
        self.advance(len(fed))

    def roll_back(self, length: int) -> None:
        """Forget all tokens from position ``length`` on. Raises ValueError where it does not reach."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot roll back from {self.length} to {length} tokens")
        if length == self.length:
            return
        self._length = length if self.states is None else self.states.take_back(length)
        if self._length < self._lent:
            self._shared.update(self._layers)
            self._lent = 0
            self._placed = None

    def write(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor, begun: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put keys and values, each [heads, tokens, width], behind the tokens that are written.

        ``begun``: tokens of the same step that were put there before these. Returns views of all keys and values up to
        there, [heads, written + begun + tokens, width].
        """
        start = self._length + begun
        end = start + keys.shape[1]
        if end > self.max_tokens:
            raise ValueError(f"{end} tokens do not fit into a cache reserved for {self.max_tokens}")
        held = self._own(layer, (keys, values), end)
        held[0][:, start:end] = keys
        held[1][:, start:end] = values
        return held[0][:, :end], held[1][:, :end]

    def write_index(self, layer: int, keys: torch.Tensor, begun: int = 0) -> torch.Tensor:
        """As write(), of the keys of a block's index, [tokens, width]; returns all up to there."""
        return self.write(index_of(layer), keys[None], keys[None, :, :0], begun)[0][0]

    def holds(self, span: Span) -> bool:
        """Whether every block of ``span`` has written."""
        placed = self._placed is not None and self._placed[0] == span
        return placed or all(layer in self._layers for layer in span.blocks())

    def places(self, span: Span, tokens: int) -> np.ndarray:
        """Where the blocks of ``span``, which it holds(), may write ``tokens`` more themselves.

        PLACE_NUMBERS for each block, one after the other in int64. True until the next call of anything else here but
        advance().
        """
        end = self._length + tokens
        if end > self.max_tokens:
            raise ValueError(f"{end} tokens do not fit into a cache reserved for {self.max_tokens}")
        if self._placed is None or self._placed[0] != span or self._placed[1] < end:
            held = [self._own(layer, self._layers[layer], end) for layer in span.blocks()]
            table = [(keys.data_ptr(), values.data_ptr(), keys.shape[1]) for keys, values in held]
            room = min(keys.shape[1] for keys, _values in held)
            self._placed = (span, room, np.array(table, dtype=np.int64).reshape(-1))
        return self._placed[2]

    def lend(self, tokens: int) -> Layers:
        """Views of the first ``tokens`` tokens, which never change; at most ``length``."""
        self._lent = max(self._lent, tokens)
        return {layer: (keys[:, :tokens], values[:, :tokens]) for layer, (keys, values) in self._layers.items()}

    def borrow(self, layers: Mapping[int, tuple[torch.Tensor, torch.Tensor]], tokens: int) -> None:
        """Begin with the first ``tokens`` tokens of what another cache has lent. For an empty cache only."""
        if self._length or self._layers:
            raise ValueError("a cache that holds tokens cannot borrow others")
        self._layers = {layer: (keys[:, :tokens], values[:, :tokens]) for layer, (keys, values) in layers.items()}
        self._shared = set(layers)
        self._length = tokens
        self._placed = None

    def token_elements(self) -> dict[int, int]:
        """Numbers kept per token, for each block that has written."""
        elements: Counter[int] = Counter()
        for place, held in self._layers.items():
            elements[place if place >= 0 else index_of(place)] += sum(part.shape[0] * part.shape[2] for part in held)
        return dict(elements)

    def tensors(self) -> list[torch.Tensor]:
        """All that it holds, for whoever counts memory."""
        states = [] if self.states is None else self.states.tensors()
        return [part for held in self._layers.values() for part in held] + states

    def free(self) -> None:
        """Give the memory back; the cache is empty after that."""
        self._layers.clear()
        self._shared.clear()
        self._length = self._lent = 0
        self._placed = None
        if self.states is not None:
            self.states = SessionStates()

    def _own(self, layer: int, like: tuple[torch.Tensor, torch.Tensor], end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a block with room for ``end`` tokens, of the kind of ``like``, that nobody else reads."""
        held = self._layers.get(layer)
        if held is not None and layer not in self._shared and held[0].shape[1] >= end:
            return held
        room = min(self.max_tokens, max(CACHE_FIRST_TOKENS, 1 << (end - 1).bit_length()))
        keys, values = (part.new_empty(part.shape[0], room, part.shape[2]) for part in like)
        if held is not None:
            kept = min(end, held[0].shape[1])  # more than is written, where a step has begun
            keys[:, :kept] = held[0][:, :kept]
            values[:, :kept] = held[1][:, :kept]
        self._layers[layer] = keys, values
        self._shared.discard(layer)
        self._placed = None
        return keys, values


@dataclass(frozen=True, slots=True)
class Row:
    """One session's part of a step: its cache and how many tokens come after those already in it."""

    cache: SequenceCache
    tokens: int
    horizon: int | None = None
    """Length of the sequence at the end of the whole step that this row is a slice of; None if it is no slice.
    Models whose rotary frequencies change with length need it to treat every slice alike."""

    @property
    def end(self) -> int:
        return self.cache.length + self.tokens

    @property
    def reach(self) -> int:
        return max(self.end, self.horizon or 0)


def block_tokens_of(layers: Layers) -> int:
    """Tokens, counted in each block, that the memory behind ``layers`` has room for: a view keeps all of its tensor."""
    return sum(
        max(part.untyped_storage().nbytes() // (part.element_size() * part.shape[0] * part.shape[2]) for part in held)
        for place, held in layers.items()
        if place >= 0
    )
