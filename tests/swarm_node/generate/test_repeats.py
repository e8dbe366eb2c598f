"""What a text that repeats itself is expected to go on with."""

from __future__ import annotations

from swarm_node.generate.guesses import Repeats
from swarm_node.generate.settings import LONGEST_MATCH


def text(tokens: str) -> Repeats:
    repeats = Repeats()
    repeats.extend(map(ord, tokens))
    return repeats


def guess(tokens: str, count: int) -> str:
    return "".join(map(chr, text(tokens).guess(count)))


def test_a_text_goes_on_as_it_did_after_the_same_words() -> None:
    assert guess("the cat sat. the c", 6) == "at sat"


def test_the_latest_of_several_places_counts() -> None:
    assert guess("abx aby ab", 1) == "y"


def test_a_longer_run_counts_before_a_later_place() -> None:
    assert guess("cabx aby cab", 1) == "x"


def test_what_repeats_all_the_time_is_guessed_beyond_its_end() -> None:
    assert guess("go, go, go, ", 7) == "go, go,"


def test_nothing_is_guessed_after_a_new_token() -> None:
    assert text("abcabd").guess(3) == []
    assert text("abcabd").match() == 0
    assert text("").guess(3) == []


def test_a_match_is_as_long_as_what_both_places_share() -> None:
    assert text("xyz abc. wyz").match() == 2
    assert text("0123456789 0123456789").match() == LONGEST_MATCH


def test_a_text_may_grow_token_by_token() -> None:
    grown = Repeats()
    for token in "the cat sat. the c":
        grown.extend([ord(token)])
    assert grown.guess(6) == text("the cat sat. the c").guess(6)
    assert len(grown) == 18
