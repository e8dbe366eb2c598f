"""Nodes and snapshots as the routing tests write them."""

from __future__ import annotations

from typing import Any

from routing import NodeState, NodeView, Snapshot, Span


def node(name: str, start: int, end: int, **changes: Any) -> NodeView:
    """An online node with plenty of free cache, 1 ms per block, unless changed."""
    fields: dict[str, Any] = {
        "peer_id": name,
        "addresses": (),
        "state": NodeState.ONLINE,
        "span": Span(start, end),
        "memory_bytes": 0,
        "block_bytes": 1,
        "token_bytes": 1,
        "cache_tokens": 10**9,
        "free_tokens": 10**9,
        "prefill_seconds": 0.001,
        "decode_seconds": 0.001,
    }
    return NodeView(**{**fields, **changes})


def swarm(*nodes: NodeView) -> Snapshot:
    return Snapshot("model", nodes, taken_at=0.0)
