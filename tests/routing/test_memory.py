"""Sizes of memory and ranges of blocks, as people read and write them."""

import pytest

from routing import Span, cache_tokens, describe_bytes
from routing.errors import UsageError


def test_cache_is_what_the_weights_leave() -> None:
    assert cache_tokens(100, block_bytes=10, token_bytes=3, hosted=4) == 20


def test_sizes_are_written_so_that_they_suffice() -> None:
    assert describe_bytes(1023) == "1023B"
    assert describe_bytes(1536) == "1.5KiB"
    assert describe_bytes(1024**3 + 1) == "1.1GiB"


@pytest.mark.parametrize("text", ["", "4", "4:", "a:b", "-1:4", "4:4", "5:4", "1:2:3"])
def test_a_bad_range_of_blocks_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="START:END"):
        Span.parse(text)


def test_a_range_of_blocks_reads_as_it_is_written() -> None:
    assert str(Span.parse("3:7")) == "3:7"


@pytest.mark.parametrize(
    ("here", "there", "left", "kept"),
    [
        (Span(0, 4), Span(2, 6), [Span(0, 2)], Span(2, 4)),
        (Span(2, 6), Span(0, 4), [Span(4, 6)], Span(2, 4)),
        (Span(0, 6), Span(2, 4), [Span(0, 2), Span(4, 6)], Span(2, 4)),
        (Span(2, 4), Span(0, 6), [], Span(2, 4)),
        (Span(0, 2), Span(4, 6), [Span(0, 2)], None),
    ],
)
def test_a_move_keeps_what_both_spans_share(here: Span, there: Span, left: list[Span], kept: Span | None) -> None:
    assert (here.without(there), here.common(there)) == (left, kept)
