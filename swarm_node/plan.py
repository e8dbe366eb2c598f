"""What a node will host and how much cache that leaves, from its options and one snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from routing import Snapshot, Span, blocks_that_fit, cache_tokens, describe_bytes, newcomer_span
from routing.errors import MemoryTooSmall, UsageError
from swarm_node.footprint import Footprint
from swarm_node.settings import RESERVED_SESSIONS, session_tokens


@dataclass(frozen=True, slots=True)
class HostingPlan:
    """The span a node hosts, and the block-tokens of cache that its memory holds beside it."""

    span: Span
    memory_bytes: int
    cache_tokens: int


def plan_hosting(
    snapshot: Snapshot,
    blocks: int,
    footprint: Footprint,
    context_length: int | None,
    memory_bytes: int,
    wanted: Span | None,
) -> HostingPlan:
    """The span the user wants, or the one that GBP-CR's rule gives a newcomer with this memory.

    Raises UsageError if ``wanted`` is out of the model's range, MemoryTooSmall if the memory does not hold the span
    and the cache of one session.
    """
    tokens = session_tokens(context_length)
    session_bytes = tokens * footprint.token_bytes
    if wanted is None:
        count = blocks_that_fit(memory_bytes, footprint.block_bytes, session_bytes, RESERVED_SESSIONS, blocks)
        wanted = newcomer_span(snapshot, blocks, count)
    elif wanted.end > blocks:
        raise UsageError(f"blocks {wanted} are out of range: the model has blocks 0:{blocks}")
    free = cache_tokens(memory_bytes, footprint.block_bytes, footprint.token_bytes, len(wanted))
    if free < tokens * len(wanted):
        needed = len(wanted) * (footprint.block_bytes + session_bytes)
        raise MemoryTooSmall(
            f"{describe_bytes(memory_bytes)} do not hold blocks {wanted} and one session's cache; "
            f"give --memory {describe_bytes(needed)} or more, or fewer --blocks"
        )
    return HostingPlan(wanted, memory_bytes, free)
