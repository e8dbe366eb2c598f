"""A contiguous range of transformer blocks, and what several of them hold together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from routing.errors import UsageError


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Blocks ``start`` to ``end - 1``, counted from 0; never empty.

    Written ``start:end``. Raises UsageError for a range that holds no block.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise UsageError(f"blocks {self.start}:{self.end} hold no block; write START:END with 0 <= START < END")

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.start}:{self.end}"

    def __contains__(self, block: int) -> bool:
        return self.start <= block < self.end

    def covers(self, other: Span) -> bool:
        """True if every block of ``other`` is in this span."""
        return self.start <= other.start and other.end <= self.end

    def common(self, other: Span) -> Span | None:
        """The blocks that are in both; None if there are none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Span(start, end) if start < end else None

    def without(self, other: Span) -> list[Span]:
        """The blocks that are not in ``other``: none, one or two spans."""
        pieces = ((self.start, min(self.end, other.start)), (max(self.start, other.end), self.end))
        return [Span(start, end) for start, end in pieces if start < end]

    def blocks(self) -> range:
        """Their numbers."""
        return range(self.start, self.end)

    def within(self, blocks: int) -> range:
        """Those of a model of so many: a stranger may claim blocks that the model does not have."""
        return range(self.start, min(self.end, blocks))

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read ``START:END``; raises UsageError for anything else."""
        start, colon, end = text.partition(":")
        if not (colon and start.isdecimal() and end.isdecimal()):
            raise UsageError(f"'{text}' is not a range of blocks; write START:END, for example 0:12")
        return cls(int(start), int(end))


def replicas(spans: Iterable[Span | None], blocks: int) -> list[int]:
    """How many of the ``spans`` hold each of a model's ``blocks`` blocks."""
    change = [0] * (blocks + 1)
    for span in spans:
        if span is not None and span.start < blocks:
            change[span.start] += 1
            change[min(span.end, blocks)] -= 1
    return list(accumulate(change[:-1]))


def gaps(counts: Sequence[int]) -> list[Span]:
    """The maximal ranges of blocks that nobody holds, by what replicas() says."""
    found: list[Span] = []
    start = 0
    for held, run in groupby(map(bool, counts)):
        end = start + len(list(run))
        if not held:
            found.append(Span(start, end))
        start = end
    return found


def describe_blocks(spans: Iterable[Span]) -> str:
    """``0:4, 8:12``: the way users write ranges of blocks."""
    return ", ".join(str(span) for span in spans)
