"""How a command imports what is large: for as long as it lives, or only once something of it is called."""

from __future__ import annotations

import gc
import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
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
def lean_imports() -> Iterator[None]:
    """Import torch and transformers in here, for a command that compiles no model and spreads none over processes.

    transformers takes functions of torch's compiler to mark its own with, and classes of tensors that are spread, which
    bring sympy and what else belongs to them; and of scipy what training calls. Together they are more than torch.
    Whoever compiles a model in such a process all the same compiles some functions that were marked to be left alone.
    What torch knows in Python of tensors without memory waits until with_all_shapes() needs it.
    """
    with lasting_imports(), deferred_import("scipy.optimize"):
        with deferred_import("torch._meta_registrations"):
            import torch
        import torch._prims.rng_prims  # makes torch.Generator whole

        from dht.late_package import put_off

        put_off("torch._dynamo", disable=_unmarked, assume_constant_result=_unmarked, allow_in_graph=_unmarked)
        spreads, torch.distributed.is_available = torch.distributed.is_available, lambda: False
        try:
            from transformers.utils import import_utils

            import_utils.is_torch_distributed_available()  # it remembers what it has found
        finally:
            torch.distributed.is_available = spreads
        # It reads the sources of all models twice, since it remembers them by two names of their folder.
        remembering = import_utils.create_import_structure_from_path
        import_utils.create_import_structure_from_path = lambda path: remembering(_folder(Path(path)))
        yield


def _folder(path: Path) -> Path:
    return path.parent if path.is_file() else path


def _unmarked(function: Callable[..., Any] | None = None, *_: object, **__: object) -> Callable[..., Any]:
    """In place of a decorator, with options or without."""
    return function if function is not None else _unmarked


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
