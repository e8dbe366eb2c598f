"""Which thread of this process computes with several cores: only the one whose speed matters.

A thread that computes in parallel keeps helper threads of its own for as long as it lives. GNU's OpenMP lets them wait
actively for the next piece of work only while a process has no more threads of its own than there are cores; with
more, all go to sleep after every piece, and a step of a block takes half as long again. So event loops compute alone,
and what computes once does so in a thread that ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

T = TypeVar("T")


@contextmanager
def computing_alone() -> Iterator[None]:
    """The calling thread computes without helpers meanwhile; others, also later ones, as before."""
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
