"""Which blocks a node hosts, decided by the node itself from what it read of all others.

The same numbers lead every node to the same plan, so no vote is needed; what a node has not seen yet is guarded against
by asking the others before it leaves blocks (see Move), not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from routing.coordinates import Places
from routing.node.moves import Move, Placed, Stay, expected_reserve, join, move_for_speed, plan_for
from routing.node.rescue import Gap, rescue
from routing.plan.cluster import ModelShape, Server
from routing.settings import (
    LINK_HANDLING_SECONDS,
    QUIET_JOB_RATE,
    TURN_SECONDS,
    UNMEASURED_SECONDS,
    UNPLACED_ONE_WAY_SECONDS,
    USUAL_NEW_TOKENS,
    USUAL_PROMPT_TOKENS,
)
from routing.snapshot import NodeState, NodeView, Snapshot
from routing.span import Span


@dataclass(frozen=True, slots=True)
class Model:
    """What nodes agree on about the model that they host."""

    blocks: int
    """L."""
    session_tokens: int
    """Length of the session that one cache slot holds."""


def span_to_join(snapshot: Snapshot, me: NodeView, model: Model) -> Span | None:
    """The blocks for a newcomer, whose ``me.span`` does not count; None if it cannot hold one and a session."""
    nodes = (*snapshot.others(me), me)
    index = len(nodes) - 1
    placed = _placed(nodes, me, model).with_span(index, None)
    return join(placed, index, expected_reserve(placed.servers, placed.model, placed.arrival_rate))


def next_move(
    snapshot: Snapshot,
    before: Snapshot,
    me: NodeView,
    model: Model,
    load_seconds: float,
    now: float,
    gone: Collection[str] = (),
) -> Stay | Move:
    """Whether this node should host other blocks, and why; ``me`` is what it says of itself at ``now`` (unix seconds).

    While blocks are missing, everybody moves at once by the plan that all can compute (see rescue): if some were
    missing in the snapshot ``before`` too, as one announcement may be late, or if those that hosted them are among
    ``gone``, the peer ids of nodes in the snapshot that do not answer (see roll_call). ``before`` is without those that
    were known to be gone then. Else only the node whose turn it is moves, and only for speed; ``load_seconds`` is how
    long it would be away.
    """
    if me.pinned:
        return Stay("its owner has chosen its blocks")
    if not _settled(me):
        return Stay("it is on its way")
    nodes = (*snapshot.without(gone).others(me), me)
    index = len(nodes) - 1
    missing = _missing(nodes, model)
    if missing:
        recorded, earlier = (_missing((*seen.others(me), me), model) for seen in (snapshot, before))
        gap = Gap(missing, recorded, earlier)
        if not gap.certain:
            return Stay("blocks seem missing")
        able = {place for place, node in enumerate(nodes) if not node.pinned}
        settled = {place for place in able if _settled(nodes[place])}
        return gap.part_of(index, me.span, rescue(_placed(nodes, me, model), settled, able - settled))
    if whose_turn(nodes, now) != me.peer_id:
        return Stay("it is another node's turn")
    placed = _placed(nodes, me, model)
    return move_for_speed(placed, index, plan_for(placed), [node.joined_at for node in nodes], load_seconds, now)


def _missing(nodes: tuple[NodeView, ...], model: Model) -> frozenset[int]:
    """Blocks that nobody hosts or is loading."""
    return frozenset(range(model.blocks)).difference(*(node.claim.blocks() for node in nodes))


def _settled(node: NodeView) -> bool:
    return node.state is NodeState.ONLINE and node.target is None


def whose_turn(nodes: tuple[NodeView, ...], now: float) -> str | None:
    """The peer id of the node that may move now: a lot that all draw alike, anew every TURN_SECONDS."""
    epoch = int(now // TURN_SECONDS)
    movable = (node.peer_id for node in nodes if not node.pinned)
    return min(movable, key=lambda peer_id: hashlib.sha256(f"{epoch}|{peer_id}".encode()).digest(), default=None)


def _placed(nodes: tuple[NodeView, ...], me: NodeView, model: Model) -> Placed:
    """The nodes in the terms of the paper: times of a mean job, memory in units of this node's block size."""
    prompt, new = _mean_job(nodes)
    delays = _mean_delays(nodes)
    measured = [node for node in nodes if node.decode_seconds > 0]
    usual_prefill = float(np.median([node.prefill_seconds for node in measured])) if measured else UNMEASURED_SECONDS
    usual_decode = float(np.median([node.decode_seconds for node in measured])) if measured else UNMEASURED_SECONDS
    servers = tuple(
        Server(
            node.peer_id,
            max(node.memory_bytes, 1) * (me.block_bytes / max(node.block_bytes, 1)),
            (delay + LINK_HANDLING_SECONDS) * new,
            (node.prefill_seconds * prompt + node.decode_seconds * new)
            if node.decode_seconds > 0
            else usual_prefill * prompt + usual_decode * new,
        )
        for node, delay in zip(nodes, delays, strict=True)
    )
    session_bytes = me.token_bytes * me.session_tokens(model.session_tokens)
    shape = ModelShape(model.blocks, max(me.block_bytes, 1), max(session_bytes, 1))
    rate = max(sum(node.job_rate for node in nodes), QUIET_JOB_RATE)
    spans = tuple(node.claim.common(Span(0, model.blocks)) for node in nodes)
    return Placed(servers, shape, spans, rate)


def _mean_job(nodes: tuple[NodeView, ...]) -> tuple[float, float]:
    """Tokens of prompt and answer of the jobs that nodes saw lately."""
    seen = [node for node in nodes if node.job_rate > 0 and node.new_tokens > 0]
    total = sum(node.job_rate for node in seen)
    if total <= 0:
        return USUAL_PROMPT_TOKENS, USUAL_NEW_TOKENS
    return (
        sum(node.job_rate * node.prompt_tokens for node in seen) / total,
        max(1.0, sum(node.job_rate * node.new_tokens for node in seen) / total),
    )


def _mean_delays(nodes: tuple[NodeView, ...]) -> list[float]:
    """Mean seconds one way between each node and the others that have a place; clients are where nodes are."""
    placed = [index for index, node in enumerate(nodes) if node.coordinate.placed]
    means = [UNPLACED_ONE_WAY_SECONDS] * len(nodes)
    if len(placed) < 2:
        return means
    places = Places([nodes[index].coordinate for index in placed])
    for place, index in enumerate(placed):
        itself = nodes[index].coordinate.height
        means[index] = float((places.one_way(slice(None), place).sum() - itself) / (len(placed) - 1))
    return means
