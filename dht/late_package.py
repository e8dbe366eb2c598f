"""A package whose own ``__init__`` runs only when something of it is asked for: its modules are there before.

hivemind's imports averaging, optimizers and experts, and torch with them, for seconds; what we use of it is a module of
messages and, on a node, the hash table.
"""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_running = threading.RLock()


class _LatePackage(ModuleType):
    def __getattr__(self, name: str) -> Any:
        """Called for what is not there: the first time, the package is made whole."""
        if name.startswith("__"):  # asked by the import system, to which the plain answer is that there is none
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if f"{self.__name__}.{name}" in sys.modules:  # one of its modules, which is being imported
            return sys.modules[f"{self.__name__}.{name}"]
        with _running:
            if self.__class__ is _LatePackage:
                self.__class__ = ModuleType  # type: ignore[assignment]
                assert self.__spec__ is not None
                assert self.__spec__.loader is not None
                self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def put_off(package: str, **meanwhile: Any) -> None:
    """From now on ``package`` is imported so, unless it was already. To whoever uses it, it is the package itself.

    ``meanwhile`` are names that it has before its own replace them. Raises ModuleNotFoundError if it is not installed.
    """
    if package in sys.modules:
        return
    spec = find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    module = module_from_spec(spec)
    module.__class__ = _LatePackage
    vars(module).update(meanwhile)
    sys.modules[package] = module
    parent, _, name = package.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, module)
