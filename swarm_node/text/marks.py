"""Strings that mean something, found in a text that is still being written."""

from __future__ import annotations

from collections.abc import Iterable


def cut_at_mark(text: str, marks: Iterable[str]) -> tuple[str, str | None, str]:
    """What stands before the first of ``marks``, that mark, and what stands behind it.

    Without one, None, and the last is what a mark may begin with at the end of ``text``, no more.
    """
    marks = tuple(marks)
    found = [(at, -len(mark), mark) for mark in marks if (at := text.find(mark)) >= 0]
    if found:
        at, _, mark = min(found)
        return text[:at], mark, text[at + len(mark) :]
    safe = len(text) - _beginning_at_end(text, marks)
    return text[:safe], None, text[safe:]


def _beginning_at_end(text: str, marks: Iterable[str]) -> int:
    """The length of the longest end of ``text`` that is a beginning of one of ``marks``."""
    longest = 0
    for mark in marks:
        for length in range(min(len(mark) - 1, len(text)), longest, -1):
            if text.endswith(mark[:length]):
                longest = length
                break
    return longest
