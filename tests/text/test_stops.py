"""An answer ends before its stop string, however tokens cut it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarm_node.text import Stops


def run(strings: list[str], pieces: list[str]) -> tuple[list[str], str | None]:
    stops = Stops(strings)
    shown = [stops.push(piece) for piece in pieces]
    return [*shown, stops.end()], stops.stopped


def test_a_stop_string_over_two_tokens_is_met() -> None:
    assert run(["\nUser:"], ["Hi\nUs", "er: x"]) == (["Hi", "", ""], "\nUser:")


def test_what_looked_like_a_stop_string_comes_when_it_is_none() -> None:
    assert run(["\nUser:"], ["Hi\nUs", "ual"]) == (["Hi", "\nUsual", ""], None)


def test_no_more_is_held_back_than_may_begin_a_stop_string() -> None:
    assert run(["abab"], ["xaba", "a", "b"])[0] == ["x", "aba", "", "ab"]


def test_the_earliest_of_many_ends_the_text() -> None:
    assert run(["third", "second"], ["first second third"]) == (["first ", ""], "second")


def test_of_two_at_one_place_the_first_that_is_complete_ends_the_text() -> None:
    assert run(["ab", "abc"], ["xab", "c"])[0] == ["x", "", ""]


def test_no_strings_stop_nothing_and_hold_nothing_back() -> None:
    assert run([""], ["a", "b"]) == (["a", "b", ""], None)


@given(st.lists(st.text("ab", min_size=1, max_size=4), min_size=1), st.lists(st.text("abc", max_size=4)))
def test_however_the_text_is_cut_it_ends_at_the_same_place(strings: list[str], pieces: list[str]) -> None:
    text = "".join(pieces)
    shown, stopped = run(strings, pieces)
    # A shorter string may be met before a longer one that began earlier is complete.
    ends = [(text.find(one) + len(one), text.find(one)) for one in strings if one in text]
    assert (stopped is None) == (not ends)
    one_by_one, same = run(strings, list(text))
    if ends:
        assert text.startswith("".join(one_by_one)) and same is not None
    else:
        assert "".join(shown) == "".join(one_by_one) == text
