"""Bytes and block-tokens of a node's memory."""

from __future__ import annotations


def cache_tokens(memory_bytes: int, block_bytes: int, token_bytes: int, hosted: int) -> int:
    """Block-tokens of cache that fit beside the weights of ``hosted`` blocks; negative if the weights do not fit."""
    return (memory_bytes - block_bytes * hosted) // token_bytes


def describe_bytes(count: int) -> str:
    """Bytes in the largest binary unit that gives at least 1, rounded up so that the figure is enough."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    if unit == "B":
        return f"{count}B"
    return f"{-(-size * 10 // 1) / 10:g}{unit}"
