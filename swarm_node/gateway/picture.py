"""The swarm of one model as JSON: who serves which blocks, how busy each is, and how to join."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Any

from dht import furthest_reach, short_name
from routing import Card, NodeView, Snapshot, Span, free_places, longest_line
from swarm_node.client import Sight
from swarm_node.gateway.settings import JOIN_PEERS, PICTURE_NODES
from swarm_node.settings import session_tokens


def picture_of(card: Card, sight: Sight, silent: Collection[str], *, chats: bool) -> dict[str, Any]:
    """What ``/swarm`` tells. Records are bounded where they are read; spans beyond the model's blocks are cut here.

    ``silent``: peers that do not answer, though their records are still there. ``chats``: whether the model has a chat
    template.
    """
    snapshot = sight.snapshot.without(silent)
    nodes = sorted(sight.snapshot.nodes, key=lambda node: (node.span, node.peer_id))
    shown = nodes[:PICTURE_NODES]
    return {
        "model": card.name,
        "fingerprint": card.fingerprint,
        "blocks": card.blocks,
        "context_length": card.context_length,
        "chats": chats,
        "coverage": snapshot.replicas(card.blocks),
        "missing": [_pair(span) for span in snapshot.missing(card.blocks)],
        "free_places": free_places(snapshot, card.blocks, session_tokens(card.context_length)),
        "waiting": longest_line(snapshot),
        "nodes": [_node(node, card, sight, node.peer_id in silent) for node in shown],
        "hidden_nodes": len(nodes) - len(shown),
        "join": join_command(card, snapshot),
    }


def join_command(card: Card, snapshot: Snapshot) -> str | None:
    """What to type to serve blocks of the model, safe to paste into a shell; None if no node can be called."""
    callable_nodes = [(furthest_reach(node.addresses), node) for node in snapshot.online()]
    ranked = sorted(
        ((reach, node.joined_at, node) for reach, node in callable_nodes if reach is not None),
        key=lambda found: found[:2],
    )
    if not ranked:
        return None
    # What is in a directory others have, if at all, in one of that name.
    words = ["swarm", "node", "--model", card.name if card.revision is not None else f"./{card.name}"]
    for reach, _, node in ranked[:JOIN_PEERS]:
        address = next(address for address in node.addresses if furthest_reach([address]) == reach)
        words += ["--initial-peers", address]
    return shlex.join(words)


def _node(node: NodeView, card: Card, sight: Sight, silent: bool) -> dict[str, Any]:
    delay = sight.round_trips.get(node.peer_id)
    return {
        "peer": node.peer_id,
        "name": short_name(node.peer_id),
        **_pair(_within(node.span, card.blocks)),
        "target": _pair(_within(node.target, card.blocks)) if node.target else None,
        "state": "silent" if silent else node.state.value,
        "load": round(1 - node.free_tokens / node.cache_tokens, 3) if node.cache_tokens else 0.0,
        "running": node.running,
        "waiting": node.waiting,
        "memory_bytes": node.memory_bytes,
        "cache_tokens": node.cache_tokens,
        "free_tokens": node.free_tokens,
        "prefill_seconds": node.prefill_seconds,
        "decode_seconds": node.decode_seconds,
        "delay_seconds": None if delay is None else round(delay, 4),
        "dtype": node.dtype,
        "version": node.version,
    }


def _within(span: Span, blocks: int) -> Span:
    end = min(span.end, blocks)
    return Span(min(span.start, end - 1), end)


def _pair(span: Span) -> dict[str, int]:
    return {"start": span.start, "end": span.end}
