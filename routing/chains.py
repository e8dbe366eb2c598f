"""The fastest chain of nodes for one session, from one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from routing.errors import BlocksNotCovered, CacheFull
from routing.snapshot import NodeView, Snapshot
from routing.span import Span


@dataclass(frozen=True, slots=True)
class Hop:
    """One node's part of a chain: ``span`` is what it processes, not all that it hosts."""

    node: NodeView
    span: Span


def fastest_chain(
    snapshot: Snapshot,
    blocks: int,
    session_tokens: int,
    hop_seconds: Callable[[NodeView], float],
    excluded: Collection[str] = (),
) -> tuple[Hop, ...]:
    """The chain over all ``blocks`` with the least time per decoded token.

    A block is processed by the first node on the chain that hosts it, and a node once entered is used to its end
    (arXiv 2604.14993, section 2.1), so a chain's cost so far depends only on the boundary it has reached: one pass
    over the boundaries finds the shortest path in O(J·L) for J nodes. A node costs ``hop_seconds`` plus its measured
    decode time for each block it processes; it is left out when its advertised free cache does not hold
    ``session_tokens`` for those blocks, or when its peer id is in ``excluded``.

    Raises BlocksNotCovered (naming the blocks) if no online node hosts them, CacheFull if nodes do but are full.
    """
    nodes = sorted(
        (node for node in snapshot.online() if node.peer_id not in excluded and node.span.start < blocks),
        key=lambda node: node.peer_id,
    )
    costs = [0.0] + [float("inf")] * blocks
    arrived: list[tuple[int, NodeView] | None] = [None] * (blocks + 1)
    for boundary in range(blocks):
        if costs[boundary] == float("inf"):
            continue
        for node in nodes:
            end = min(node.span.end, blocks)
            if not node.span.start <= boundary < end or node.free_tokens < session_tokens * (end - boundary):
                continue
            cost = costs[boundary] + hop_seconds(node) + node.decode_seconds * (end - boundary)
            if cost < costs[end]:
                costs[end] = cost
                arrived[end] = (boundary, node)
    if arrived[blocks] is None:
        raise _why_not(Snapshot(snapshot.model, tuple(nodes), snapshot.taken_at), blocks, session_tokens)
    return _walk_back(arrived, blocks)


def _walk_back(arrived: list[tuple[int, NodeView] | None], blocks: int) -> tuple[Hop, ...]:
    hops: list[Hop] = []
    end = blocks
    while end > 0:
        step = arrived[end]
        assert step is not None, "a reached boundary has a predecessor"
        boundary, node = step
        hops.append(Hop(node, Span(boundary, end)))
        end = boundary
    return tuple(reversed(hops))


def _why_not(usable: Snapshot, blocks: int, session_tokens: int) -> BlocksNotCovered | CacheFull:
    missing = usable.missing(blocks)
    if missing:
        return BlocksNotCovered(
            f"no node serves blocks {describe_blocks(missing)} of {blocks}; start one with --blocks"
        )
    return CacheFull(f"every chain is full: no free cache for a session of {session_tokens} tokens; try again later")


def describe_blocks(spans: list[Span]) -> str:
    """``0:4, 8:12``: the way users write ranges of blocks."""
    return ", ".join(str(span) for span in spans)
