"""Which blocks a node begins with, and how much cache its memory leaves beside blocks."""

from __future__ import annotations

from dataclasses import replace

from routing import NodeView, Snapshot, Span, cache_tokens, describe_bytes
from routing.errors import MemoryTooSmall, UsageError
from routing.node.self_placement import Model, span_to_join


def settle(me: NodeView, snapshot: Snapshot, model: Model, wanted: Span | None) -> NodeView:
    """``me`` with the span that its owner wants, or with the one that suits the swarm, and the cache beside it.

    Raises UsageError if ``wanted`` is out of the model's range, MemoryTooSmall if the memory does not hold the span
    and the cache of one session.
    """
    if wanted is not None and wanted.end > model.blocks:
        raise UsageError(f"blocks {wanted} are out of range: the model has blocks 0:{model.blocks}")
    span = wanted or span_to_join(snapshot, me, model)
    session_bytes = me.token_bytes * me.session_tokens(model.session_tokens)
    if span is None:
        needed = describe_bytes(me.block_bytes + session_bytes)
        raise MemoryTooSmall(
            f"{describe_bytes(me.memory_bytes)} do not hold one block ({describe_bytes(me.block_bytes)}) and one "
            f"session's cache ({describe_bytes(session_bytes)}); give --memory {needed} or more"
        )
    settled = hosting(me, span)
    if settled.cache_tokens < me.session_tokens(model.session_tokens, len(span)):
        needed = describe_bytes(len(span) * (me.block_bytes + session_bytes))
        raise MemoryTooSmall(
            f"{describe_bytes(me.memory_bytes)} do not hold blocks {span} and one session's cache; "
            f"give --memory {needed} or more, or fewer --blocks"
        )
    return settled


def hosting(me: NodeView, span: Span) -> NodeView:
    """``me`` with the blocks of ``span`` and all the cache that its memory leaves, none of it in use."""
    tokens = max(0, cache_tokens(me.memory_bytes, me.block_bytes, me.token_bytes, len(span)))
    return replace(me, span=span, target=None, cache_tokens=tokens, free_tokens=tokens)
