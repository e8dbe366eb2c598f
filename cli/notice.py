"""One-line notices while a person waits: on standard error, so that the answer stays clean."""

from __future__ import annotations

from rich.console import Console


def tell(line: str) -> None:
    """Show what the client is waiting for, or which node it leaves."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(line, style="dim")
