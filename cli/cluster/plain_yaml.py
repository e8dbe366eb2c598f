"""YAML as plain text: scalars stay what was written, so that ``1e9``, ``40GB`` and a server named ``no`` survive."""

from __future__ import annotations

from typing import Any, TypeAlias

import yaml

from cli.sizes import quoted
from routing.errors import UsageError

Plain: TypeAlias = "str | list[Plain] | dict[str, Plain] | None"

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""libyaml's, where PyYAML was built with it: ten times as fast. Only its events are used, no objects are made."""
_DEEPEST = 16
"""Nesting. What we read is three deep, and a file of brackets should not exhaust the stack of whoever reads it."""
_MAX_VALUES = 2_000_000
"""Scalars, lists and mappings in one file, so that a small file of commas does not fill the memory."""
_NULLS = ("", "~", "null", "Null", "NULL")


def read_yaml(text: str) -> Plain:
    """The one document in ``text`` as lists, dictionaries and strings; a key whose value is empty or null is left out.

    Raises UsageError, with the line, for what is not YAML, for aliases (which may make a small file unfold without
    end), for a key given twice, and for more than one document.
    """
    document = _Document()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            document.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise UsageError(f"{where}this is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UsageError("this is not YAML, which is text; check that it is the right file") from error
    return document.root


class _Document:
    """What the events so far have built."""

    def __init__(self) -> None:
        self.root: Plain = None
        self._open: list[list[Plain] | dict[str, Plain]] = []
        self._keys: list[str | None] = []
        """For each open container the key whose value comes next; None in lists and where a key comes next."""
        self._documents = 0
        self._values = 0

    def take(self, event: Any) -> None:
        """Add one of PyYAML's events."""
        if isinstance(event, yaml.ScalarEvent):
            plain = not event.style
            self._put(None if plain and event.value in _NULLS else event.value, event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start([] if isinstance(event, yaml.SequenceStartEvent) else {}, event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise _error(event, f"aliases (*{event.anchor}) are not read here; write the values out")
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _error(event, "a second document starts here (---); keep one in a file")

    def _start(self, container: list[Plain] | dict[str, Plain], event: Any) -> None:
        if len(self._open) == _DEEPEST:
            raise _error(event, f"lists and mappings lie more than {_DEEPEST} deep; a cluster needs three levels")
        self._put(container, event)
        self._open.append(container)
        self._keys.append(None)

    def _put(self, value: Plain, event: Any) -> None:
        self._values += 1
        if self._values > _MAX_VALUES:
            raise _error(event, f"more than {_MAX_VALUES:,} values; describe alike servers once, with a count")
        if not self._open:
            self.root = value
            return
        container, key = self._open[-1], self._keys[-1]
        if isinstance(container, list):
            container.append(value)
        elif key is not None:
            if value is not None:
                container[key] = value
            self._keys[-1] = None
        elif not isinstance(value, str):
            raise _error(event, "a key must be a word")
        elif value in container:
            raise _error(event, f"{quoted(value)} is given twice; keep one")
        else:
            self._keys[-1] = value


def _error(event: Any, problem: str) -> UsageError:
    return UsageError(f"line {event.start_mark.line + 1}: {problem}")
