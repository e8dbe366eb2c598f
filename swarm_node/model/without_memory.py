"""Models of tensors without memory (torch's meta device), for which torch need not have imported all that it knows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TypeVar

Made = TypeVar("Made")

_REST = "torch._meta_registrations"
"""Shapes of what few models do; with it torch also works out in Python, by sympy, those that its C++ knows."""


def with_all_shapes(make: Callable[[], Made]) -> Made:
    """What ``make`` returns. It is called again if a process that has put off a part of torch turns out to need it."""
    try:
        return make()
    except NotImplementedError as error:
        if not is_put_off(error):
            raise
    import_module(_REST)
    return make()


def is_put_off(error: Exception) -> bool:
    """Whether the failure may come of what has not been imported."""
    return isinstance(error, NotImplementedError) and _REST not in sys.modules
