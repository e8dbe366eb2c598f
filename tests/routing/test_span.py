"""Ranges of blocks: as people write them, and what several of them hold together."""

from __future__ import annotations

import pytest

from routing import Span
from routing.errors import UsageError
from routing.span import gaps, replicas


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


def test_a_claim_of_blocks_that_the_model_does_not_have_counts_as_far_as_it_has_them() -> None:
    claims = [Span(2, 99), None, Span(7, 9), Span(1, 3)]
    assert replicas(claims, 4) == [0, 1, 2, 1]
    assert list(Span(2, 99).within(4)) == [2, 3]
    assert not Span(7, 9).within(4)


def test_the_blocks_that_nobody_holds_are_named_in_ranges() -> None:
    assert gaps([0, 0, 3, 1, 0, 2, 0]) == [Span(0, 2), Span(4, 5), Span(6, 7)]
    assert gaps([1, 2]) == []
