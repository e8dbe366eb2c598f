"""Which blocks a node should host: the newcomer's part of greedy block placement with cache reservation."""

from __future__ import annotations

from routing.errors import MemoryTooSmall
from routing.snapshot import Snapshot
from routing.span import Span


def blocks_that_fit(memory_bytes: int, block_bytes: int, session_bytes: int, reserve: int, blocks: int) -> int:
    """m_j(c) = min(⌊M_j / (s_m + c·s_c)⌋, L) of arXiv 2604.14993, Algorithm 1, line 1.

    ``session_bytes`` is the cache of one full-length session in one block (s_c), ``reserve`` the sessions to keep
    room for (c). A node that cannot keep that many still serves with one block as long as one session fits.
    Raises MemoryTooSmall if not even that.
    """
    count = min(memory_bytes // (block_bytes + reserve * session_bytes), blocks)
    if count == 0 and memory_bytes >= block_bytes + session_bytes:
        return 1
    if count == 0:
        needed = describe_bytes(block_bytes + session_bytes)
        raise MemoryTooSmall(
            f"{describe_bytes(memory_bytes)} do not hold one block ({describe_bytes(block_bytes)}) and one session's "
            f"cache ({describe_bytes(session_bytes)}); give --memory {needed} or more"
        )
    return count


def newcomer_span(snapshot: Snapshot, blocks: int, count: int) -> Span:
    """Where a node that can host ``count`` blocks continues the chain under construction.

    GBP-CR fills one chain after the other from block 0, so the chain under construction begins at the first block
    with the fewest replicas. The last node of a chain is shifted back so that it overlaps, never truncated
    (arXiv 2604.14993, Algorithm 1, line 6). Nodes that are still loading count as if they were online.
    """
    replicas = snapshot.claimed(blocks)
    first = replicas.index(min(replicas))
    start = min(first, blocks - count)
    return Span(start, start + count)


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
