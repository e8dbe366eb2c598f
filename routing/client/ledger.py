"""What a client knows of free cache that the records do not say yet: its own sessions, and what nodes have told it."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

from routing.snapshot import NodeView, Snapshot


class Ledger:
    """One client's book on the nodes; times are unix seconds.

    A record tells the free cache of the moment at which it was made. What happened after that is added to it, and
    forgotten once no live record can be older.
    """

    def __init__(self, record_seconds: float) -> None:
        """``record_seconds``: how long before its expiration a record was made."""
        self._record_seconds = record_seconds
        self._opening: dict[str, int] = defaultdict(int)
        """Block-tokens that sessions of this client are asking for at this moment, by peer id: in no record yet."""
        self._changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
        """When this client took (negative) or gave back how many block-tokens, by peer id."""
        self._told: dict[str, tuple[float, int]] = {}
        """The free block-tokens that a node told when it refused, and when."""

    def opening(self, peer_id: str, block_tokens: int) -> None:
        """A session of this client asks for so much there; to be followed by opened() or refused()."""
        self._opening[peer_id] += block_tokens

    def opened(self, peer_id: str, block_tokens: int, asked_at: float) -> None:
        """It has got it."""
        self.refused(peer_id, block_tokens)
        self._changes[peer_id].append((asked_at, -block_tokens))

    def refused(self, peer_id: str, block_tokens: int) -> None:
        """It has not, or has given it back at once since another node refused."""
        self._opening[peer_id] -= block_tokens
        if not self._opening[peer_id]:
            del self._opening[peer_id]

    def released(self, peer_id: str, block_tokens: int, now: float) -> None:
        """A session that had opened has ended."""
        self._changes[peer_id].append((now, block_tokens))

    def told(self, peer_id: str, free_tokens: int, now: float) -> None:
        """A node has refused a session, and said that so much is free."""
        self._told[peer_id] = (now, free_tokens)

    def known_at(self, node: NodeView) -> float:
        """When what is known of the node's free cache was true."""
        told_at, _ = self._told.get(node.peer_id, (-math.inf, 0))
        return max(told_at, node.expires_at - self._record_seconds)

    def adjusted(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot as this client knows better."""
        self._forget_before(snapshot.taken_at - self._record_seconds)
        return replace(snapshot, nodes=tuple(self._adjusted(node) for node in snapshot.nodes))

    def _adjusted(self, node: NodeView) -> NodeView:
        made_at = node.expires_at - self._record_seconds
        free = node.free_tokens
        told_at, told = self._told.get(node.peer_id, (made_at, free))
        if told_at > made_at:
            made_at, free = told_at, told
        free -= self._opening.get(node.peer_id, 0)
        free += sum(tokens for at, tokens in self._changes.get(node.peer_id, ()) if at > made_at)
        free = min(max(free, 0), node.cache_tokens)
        return node if free == node.free_tokens else replace(node, free_tokens=free)

    def _forget_before(self, oldest: float) -> None:
        """Drop what is older than every record still alive: peers come and go, the book stays small."""
        for peer_id, changes in list(self._changes.items()):
            changes[:] = [change for change in changes if change[0] > oldest]
            if not changes:
                del self._changes[peer_id]
        self._told = {peer_id: told for peer_id, told in self._told.items() if told[0] > oldest}
