"""The benchmarks: ``python scripts/bench`` lists them, ``python scripts/bench NAME`` runs one of them."""

from __future__ import annotations

import sys
from pathlib import Path


def program(name: str, *arguments: object) -> tuple[str, ...]:
    """The command that runs the ``main`` of a benchmark, or of a module of ``processes``, in a process of its own."""
    return sys.executable, str(Path(__file__).resolve().parent), name, *map(str, arguments)
