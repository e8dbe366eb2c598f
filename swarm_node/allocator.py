"""How this process's C library hands out memory: set for tensors that come and go every few milliseconds."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4

_KEPT = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1}
_RETURNED = {_M_MMAP_MAX: 2**16, _M_TRIM_THRESHOLD: 2**17}
"""What glibc starts with."""

_keeps = False


def keep_freed_memory() -> None:
    """Use the memory of freed tensors again instead of asking the system for new, zeroed pages each time.

    For a process that computes all its life. Does nothing where the C library is not glibc.
    """
    global _keeps
    _keeps = _set(_KEPT)


@contextmanager
def freed_memory_returned() -> Iterator[None]:
    """Inside, give the memory of freed tensors back even so: for loading, whose copies no step is as large as."""
    if not _keeps:
        yield
        return
    _set(_RETURNED)
    try:
        yield
    finally:
        _set(_KEPT)


def _set(options: dict[int, int]) -> bool:
    """Whether the C library has such options."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        log.debug("this C library has no mallopt")
        return False
    for option, value in options.items():
        mallopt(option, value)
    return True
