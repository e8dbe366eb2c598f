"""Steps of few tokens on a GPU, recorded once and replayed: Python and launches, which cost more, are not paid again.

graphs = DecodeGraphs(reaches, token_elements, dtype, device)
if all(graphs.fit(row, span) for row in rows):
    output = graphs.run(forward, rows, hidden, span)
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from routing.span import Span
from swarm_node.compute.attention import Reach, attending
from swarm_node.compute.cache import PLACE_NUMBERS, Row
from swarm_node.compute.settings import GRAPH_SIZES, GRAPHS_MAX
from swarm_node.settings import DECODE_TOKENS_MAX

log = logging.getLogger(__name__)

Forward = Callable[[Span, torch.Tensor, torch.Tensor], torch.Tensor]
"""Span, hidden states [1, tokens, hidden size] and positions [1, tokens] to hidden states."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A graph of a step, and the fixed tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    table: torch.Tensor
    """See TokenAttention."""
    hidden: torch.Tensor
    """[1, tokens, hidden size]"""
    output: torch.Tensor
    """As ``hidden``; other graphs write there too."""


class DecodeGraphs:
    """Those of one span of blocks, for each number of tokens that came up; in the thread that runs the blocks."""

    def __init__(
        self,
        reaches: Sequence[Reach],
        token_elements: Sequence[int],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """``token_elements``: numbers that each block of the model caches per token."""
        self._reaches = reaches
        self._dtype = dtype
        self._device = device
        self._recorded: OrderedDict[tuple[Span, int], _Recorded] = OrderedDict()
        self._memory = torch.cuda.graph_pool_handle()
        self._spare = torch.zeros(max(token_elements), dtype=dtype, device=device)
        """A cache for one token, for the tokens that fill up a step."""
        self._failed = False

    def fit(self, row: Row, span: Span) -> bool:
        """Whether the step of this row may be one of those that are replayed."""
        return not self._failed and row.tokens <= DECODE_TOKENS_MAX and row.cache.holds(span)

    def run(self, forward: Forward, rows: Sequence[Row], hidden: torch.Tensor, span: Span) -> torch.Tensor | None:
        """``hidden`` [tokens of all rows, hidden size] through the blocks of ``span``; None if that cannot be recorded.

        Tokens are written behind what the caches hold, which do not count them yet.
        """
        most = GRAPH_SIZES[-1]
        if len(hidden) > most:
            return None
        size = next(size for size in GRAPH_SIZES if size >= len(hidden))
        recorded = self._recorded.get((span, size))
        if recorded is None:
            recorded = self._record(forward, span, size, hidden.shape[1])
            if recorded is None:
                return None
        self._recorded.move_to_end((span, size))
        recorded.table.copy_(torch.from_numpy(self._table(rows, span, size)))
        recorded.hidden[0, : len(hidden)] = hidden
        recorded.graph.replay()
        return recorded.output[0, : len(hidden)].clone()

    def clear(self) -> None:
        """Forget everything recorded: the blocks are others from now on."""
        self._recorded.clear()

    def _table(self, rows: Sequence[Row], span: Span, size: int) -> np.ndarray:
        spare = np.array([self._spare.data_ptr(), self._spare.data_ptr(), 1], dtype=np.int64)
        table = np.zeros((PLACE_NUMBERS * len(span) + 1, size), dtype=np.int64)
        at = 0
        for row in rows:
            end = at + row.tokens
            table[:-1, at:end] = row.cache.places(span, row.tokens)[:, None]
            table[-1, at:end] = np.arange(row.cache.length, row.cache.length + row.tokens)
            at = end
        table[:-1, at:] = np.tile(spare, len(span))[:, None]
        return table

    def _record(self, forward: Forward, span: Span, size: int, width: int) -> _Recorded | None:
        try:
            recorded = self._recording(forward, span, size, width)
        except Exception:
            # Whatever a model does that a graph cannot hold, and whatever a GPU lacks, its steps run as they are.
            self._failed = True
            self.clear()
            log.warning("steps of blocks %s cannot be recorded, so they run slower", span, exc_info=True)
            return None
        while len(self._recorded) >= GRAPHS_MAX:
            self._recorded.popitem(last=False)
        self._recorded[span, size] = recorded
        return recorded

    def _recording(self, forward: Forward, span: Span, size: int, width: int) -> _Recorded:
        from swarm_node.compute.gpu.tokens import TokenAttention  # Triton comes with torch for GPUs only

        table = torch.from_numpy(self._table([], span, size)).to(self._device)
        hidden = torch.zeros(1, size, width, dtype=self._dtype, device=self._device)
        positions = table[-1:]
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with attending(TokenAttention(table, span.start, self._reaches)):
            with torch.cuda.stream(stream):
                for _ in range(2):  # kernels are compiled and libraries set up, which a recording cannot hold
                    forward(span, hidden, positions)
            torch.cuda.current_stream(self._device).wait_stream(stream)
            # Other threads may load blocks meanwhile.
            with torch.cuda.graph(graph, pool=self._memory, stream=stream, capture_error_mode="thread_local"):
                output = forward(span, hidden, positions)
        return _Recorded(graph, table, hidden, output)
