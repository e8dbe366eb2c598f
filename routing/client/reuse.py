"""Whether a session should go where its beginning has been computed before, or where it is served fastest without."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from routing.client.chains import Hop, SessionShape, expected_seconds
from routing.snapshot import NodeView, Snapshot


@dataclass(frozen=True, slots=True)
class Served:
    """A chain that has served the first ``tokens`` tokens of a session lately, and so may hold them still."""

    hops: tuple[Hop, ...]
    tokens: int


def shortened(session: SessionShape, held_tokens: int) -> SessionShape:
    """What a session is to a chain that holds so many of its tokens: they are neither sent nor computed again."""
    held = min(held_tokens, max(0, session.prompt_tokens - 1))
    return replace(session, prompt_tokens=session.prompt_tokens - held, max_tokens=session.max_tokens - held)


def fastest_with_reuse(
    fastest: tuple[Hop, ...],
    served: Sequence[Served],
    view: Snapshot,
    session: SessionShape,
    client_delay: Callable[[NodeView], float],
    excluded: Collection[str] = (),
) -> tuple[Hop, ...]:
    """``fastest``, or that of the chains ``served`` which takes less time with what it should hold.

    ``fastest`` is what fastest_chain() says of ``view``. A chain of which a node has gone, is in ``excluded`` by peer
    id, no longer hosts its blocks or has no room for the session is out of the question.
    """
    nodes = {node.peer_id: node for node in view.online() if node.peer_id not in excluded}
    best, least = fastest, expected_seconds(fastest, session, client_delay)
    for chain in served:
        hops = _as_now(chain.hops, nodes, session.max_tokens)
        if hops is None:
            continue
        seconds = expected_seconds(hops, shortened(session, chain.tokens), client_delay)
        if seconds <= least:
            best, least = hops, seconds
    return best


def _as_now(hops: Sequence[Hop], nodes: Mapping[str, NodeView], max_tokens: int) -> tuple[Hop, ...] | None:
    """The same way through the same nodes as they are now; None if they cannot serve such a session."""
    found: list[Hop] = []
    for hop in hops:
        node = nodes.get(hop.node.peer_id)
        if node is None or not node.span.covers(hop.span):
            return None
        if node.free_tokens < node.session_tokens(max_tokens, len(hop.span)):
            return None
        found.append(Hop(node, hop.span))
    return tuple(found)
