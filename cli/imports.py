"""How a command imports what is large: for as long as it lives, or only once something of it is called."""

from __future__ import annotations

import gc
import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_SELDOM = (50_000, 20, 100)
"""Thresholds of the collector; its usual ones go through half a million lasting objects again and again."""


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Import in here: faster, and the collector does not stop the process for what is imported ever after."""
    usual = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
    linecache.clearcache()  # of sources that torch and transformers have read to write docstrings and scripts
    gc.freeze()


@contextmanager
def deferred_import(module: str) -> Iterator[None]:
    """Import in here: functions taken from ``module`` load it when they are called first."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = _StandIn(module)
    try:
        yield
    finally:
        del sys.modules[module]


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # asked by the import system, to which the plain answer is that there is none
            raise AttributeError(name)
        return lambda *args, **kwargs: getattr(import_module(self.__name__), name)(*args, **kwargs)
