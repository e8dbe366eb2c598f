"""Whom a node asks whether it is still there: its record has not faded yet, but blocks hang on the answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from routing.snapshot import NodeView, Snapshot
from routing.span import Span, replicas


def whom_to_ask(claims: Sequence[Span | None], blocks: int, doubted: Collection[int]) -> list[int]:
    """Of the servers ``doubted`` those that host a block which nobody would host if none of the doubted were there.

    Servers are indices into ``claims``: what each hosts or is loading, of a model of ``blocks`` blocks. Those come
    first whose blocks the fewest host, so that the answers of the first few tell most. Who knows the same asks the same
    servers, and so comes to the same view.
    """
    hosts = replicas(claims, blocks)
    sure = replicas((claim for index, claim in enumerate(claims) if index not in doubted), blocks)
    fewest: dict[int, int] = {}
    for index in doubted:
        claim = claims[index]
        counts = [hosts[block] for block in claim.within(blocks) if not sure[block]] if claim is not None else []
        if counts:
            fewest[index] = min(counts)
    return sorted(fewest, key=lambda index: (fewest[index], index))


def overdue(snapshot: Snapshot, me: NodeView, blocks: int, fading_before: float) -> list[NodeView]:
    """Whom ``me`` asks of those whose records fade before the time ``fading_before`` (unix seconds).

    Nobody if its owner has chosen its blocks: it would not move in any case.
    """
    if me.pinned:
        return []
    others = snapshot.others(me)
    doubted = {index for index, node in enumerate(others) if node.expires_at < fading_before}
    return [others[index] for index in whom_to_ask([*(node.claim for node in others), me.claim], blocks, doubted)]


def everybody(snapshot: Snapshot, me: NodeView, blocks: int) -> list[NodeView]:
    """All that ``me`` asks once it knows of one that is gone: many may be, and a plan counts on all the others."""
    others = snapshot.others(me)
    return [others[index] for index in whom_to_ask([node.claim for node in others], blocks, range(len(others)))]
