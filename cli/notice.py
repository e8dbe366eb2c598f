"""What a person sees while waiting: on standard error, so that the answer stays clean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


def tell(line: str) -> None:
    """Show in one line what the client is waiting for, or which node it leaves."""
    _console().print(line, style="dim")


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Show ``what`` beside a moving sign while the body runs; nothing where nobody watches."""
    console = _console()
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def _console() -> Console:
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
