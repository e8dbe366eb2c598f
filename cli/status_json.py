"""What ``swarm status --json`` prints."""

from __future__ import annotations

import time
from collections.abc import Sequence

from routing import Card, PresentModel, Snapshot, free_places, free_slots, longest_line
from swarm_node.settings import session_tokens


def models_json(models: Sequence[PresentModel]) -> dict[str, object]:
    """All models of a swarm, without their nodes."""
    return {
        "models": [
            {**_about(model.card, model.snapshot), "nodes": len(model.snapshot.nodes), "covered": model.covered}
            for model in models
        ]
    }


def model_json(card: Card, snapshot: Snapshot) -> dict[str, object]:
    """One model with its nodes."""
    tokens = session_tokens(card.context_length)
    return {
        **_about(card, snapshot),
        "age_seconds": round(snapshot.age(time.time()), 3),
        "nodes": [
            {
                "peer": node.peer_id,
                "addresses": list(node.addresses),
                "state": node.state.value,
                "start": node.span.start,
                "end": node.span.end,
                "dtype": node.dtype,
                "memory_bytes": node.memory_bytes,
                "cache_tokens": node.cache_tokens,
                "free_tokens": node.free_tokens,
                "free_slots": free_slots(node, tokens),
                "running": node.running,
                "waiting": node.waiting,
                "target": str(node.target) if node.target else None,
                "job_rate": node.job_rate,
                "prefill_seconds": node.prefill_seconds,
                "decode_seconds": node.decode_seconds,
                "version": node.version,
            }
            for node in snapshot.nodes
        ],
    }


def _about(card: Card, snapshot: Snapshot) -> dict[str, object]:
    return {
        "model": card.name,
        "revision": card.revision,
        "fingerprint": card.fingerprint,
        "architecture": card.architecture,
        "blocks": card.blocks,
        "hidden_size": card.hidden_size,
        "context_length": card.context_length,
        "weights_dtype": card.dtype,
        "size_bytes": card.size_bytes,
        "coverage": snapshot.replicas(card.blocks),
        "missing": [str(span) for span in snapshot.missing(card.blocks)],
        "free_places": free_places(snapshot, card.blocks, session_tokens(card.context_length)),
        "waiting": longest_line(snapshot),
    }
