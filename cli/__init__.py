"""The ``swarm`` command: what a person types and sees."""

from __future__ import annotations

import sys
from types import TracebackType


def _end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


# Ctrl-C while the command itself is still being imported is no defect to be shown; cli.stderr does the rest.
sys.excepthook = _end_quietly
