"""This process: which of its threads computes with several cores, and how it keeps memory that is freed."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4

_KEPT = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1}
_RETURNED = {_M_MMAP_MAX: 2**16, _M_TRIM_THRESHOLD: 2**17}
"""What glibc starts with."""

_keeps = False


@contextmanager
def computing_alone() -> Iterator[None]:
    """The calling thread computes without helpers meanwhile; others, also later ones, as before."""
    import torch  # here, as a client joins its swarm before it computes

    threads = torch.get_num_threads()
    # That sets the number of threads that begin from now on, too; only another thread can set it for them alone.
    torch.set_num_threads(1)
    _in_another_thread(partial(torch.set_num_threads, threads))
    try:
        yield
    finally:
        torch.set_num_threads(_in_another_thread(torch.get_num_threads))


def _in_another_thread(function: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


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
