"""Blocks of a model as a bar of characters, for a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterable

from routing.span import Span, replicas

_NARROWEST = 10
_WIDEST_BLOCK = 4
"""Columns of one block of a small model."""
_LABEL_COLUMNS = 6
"""Between two numbers on the ruler, at least."""


class BlockBar:
    """Bars of the same width over ``blocks`` blocks, in at most ``columns`` columns: a column is a part of a block,
    a block, or several.
    """

    def __init__(self, blocks: int, columns: int) -> None:
        columns = max(columns, _NARROWEST)
        self._blocks = blocks
        self.columns = blocks * min(_WIDEST_BLOCK, columns // blocks) if blocks <= columns else columns

    def span(self, span: Span) -> str:
        """Filled where the span has a block."""
        filled = self.columns_of(span)
        return "·" * filled.start + "█" * len(filled) + "·" * (self.columns - filled.stop)

    def columns_of(self, span: Span) -> range:
        """The columns in which the span has a block; of a span beyond the model's blocks, none."""
        start = span.start * self.columns // self._blocks
        end = -(-span.end * self.columns // self._blocks)
        return range(min(start, self.columns), min(end, self.columns))

    def ruler(self) -> str:
        """Block numbers at the columns where the blocks begin."""
        step = next(step for step in _steps() if step * self.columns // self._blocks >= _LABEL_COLUMNS)
        ruler = ""
        for block in range(0, self._blocks, step):
            ruler = ruler.ljust(block * self.columns // self._blocks) + str(block)
        return ruler[: self.columns]

    def replicas(self, spans: Iterable[Span | None]) -> str:
        """How many spans have the block, the fewest where a column is several blocks; 9 is nine or more."""
        counts = replicas(spans, self._blocks)
        return "".join(str(min(9, self._fewest(counts, column))) for column in range(self.columns))

    def _fewest(self, counts: list[int], column: int) -> int:
        first = column * self._blocks // self.columns
        last = max(first + 1, (column + 1) * self._blocks // self.columns)
        return min(counts[first:last])


def _steps() -> Iterable[int]:
    """1, 2, 5, 10, 20, …"""
    size = 1
    while True:
        yield from (size, 2 * size, 5 * size)
        size *= 10
