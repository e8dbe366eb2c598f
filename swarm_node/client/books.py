"""What a client knows of its nodes beside their records: free cache and prompts ahead, booked together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from routing import Hop, NodeView, SessionShape, Snapshot
from routing.client.backlog import Backlog
from routing.client.ledger import Ledger
from routing.client.reuse import shortened
from swarm_node.settings import RECORD_SECONDS


@dataclass(eq=False, slots=True)
class Hold:
    """What a chain takes of its nodes."""

    blocks: tuple[tuple[str, int, int], ...]
    """Peer ids, how many blocks the session passes there, and the block-tokens of cache that it takes."""
    shape: SessionShape
    asked_at: float
    """Unix seconds."""
    prompt_tokens: int
    """Of the prompt, what the nodes have to compute as far as is known."""


class Books:
    """One client's ledger and backlog. Owned by its router."""

    def __init__(self) -> None:
        self._ledger = Ledger(RECORD_SECONDS)
        self._backlog = Backlog(RECORD_SECONDS)

    def adjusted(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot as this client knows better, now."""
        return self._backlog.adjusted(self._ledger.adjusted(snapshot), time.time())

    def known_at(self, node: NodeView) -> float:
        """When what is known of the node's free cache was true (unix seconds)."""
        return self._ledger.known_at(node)

    def opening(self, hops: Sequence[Hop], shape: SessionShape) -> Hold:
        """A chain is about to reserve: other sessions of this client look elsewhere from now on.

        To be followed by ``opened`` or ``refused``.
        """
        blocks_of = tuple(
            (hop.node.peer_id, len(hop.span), hop.node.session_tokens(shape.max_tokens, len(hop.span))) for hop in hops
        )
        hold = Hold(blocks_of, shape, time.time(), shape.prompt_tokens)
        for peer_id, blocks, taken in hold.blocks:
            self._ledger.opening(peer_id, taken)
            self._backlog.sent(peer_id, blocks * hold.prompt_tokens, hold.asked_at)
        return hold

    def opened(self, hold: Hold, backlogs: Mapping[str, int], held_tokens: int = 0) -> None:
        """It has, and hops have told what prompts are ahead of its own; to be followed by ``closed``.

        Of its own prompt they hold the first ``held_tokens`` already.
        """
        now = time.time()
        before, hold.prompt_tokens = hold.prompt_tokens, shortened(hold.shape, held_tokens).prompt_tokens
        for peer_id, blocks, taken in hold.blocks:
            self._ledger.opened(peer_id, taken, hold.asked_at)
            self._backlog.over(peer_id, blocks * before)
            self._backlog.told(peer_id, backlogs[peer_id], now)
            self._backlog.sent(peer_id, blocks * hold.prompt_tokens, now)

    def refused(self, hold: Hold) -> None:
        """It has not, and holds nothing."""
        for peer_id, blocks, taken in hold.blocks:
            self._ledger.refused(peer_id, taken)
            self._backlog.over(peer_id, blocks * hold.prompt_tokens)

    def closed(self, hold: Hold) -> None:
        """The chain has ended."""
        now = time.time()
        for peer_id, blocks, taken in hold.blocks:
            self._ledger.released(peer_id, taken, now)
            self._backlog.over(peer_id, blocks * hold.prompt_tokens)

    def full(self, peer_id: str, free_tokens: int | None) -> None:
        """The peer has refused a session, and said what is free."""
        self._ledger.told(peer_id, free_tokens or 0, time.time())
