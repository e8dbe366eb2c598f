"""Imports of a process that lives long: what they make is there to stay."""

from __future__ import annotations

import gc
import linecache
from collections.abc import Iterator
from contextlib import contextmanager

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
