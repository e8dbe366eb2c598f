"""Prompts ahead of a new one: what nodes say that they have yet to compute, and what this client has sent them since.

The paper's servers run any number of jobs at the speed of one. A real GPU computes one thing at a time, so that the
fastest chain with a free slot may be the one where most prompts wait; a prompt's own time there begins after theirs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from routing.snapshot import NodeView, Snapshot


class Backlog:
    """One client's book on the prompts that it has sent; times are unix seconds, work is in block-tokens.

    A record tells what was ahead at the moment at which it was made; since then the node has worked some of it off.
    """

    def __init__(self, record_seconds: float) -> None:
        """``record_seconds``: how long before its expiration a record was made."""
        self._record_seconds = record_seconds
        self._sent: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self._told: dict[str, tuple[float, int]] = {}
        """What a node told when it admitted a session, and when."""

    def sent(self, peer_id: str, block_tokens: int, now: float) -> None:
        """A prompt of this client goes there: its tokens times the blocks that it passes."""
        self._sent[peer_id].append((now, block_tokens))

    def over(self, peer_id: str, block_tokens: int) -> None:
        """Such a prompt has never come there, or its session has ended."""
        prompts = self._sent.get(peer_id, [])
        found = next((prompt for prompt in prompts if prompt[1] == block_tokens), None)
        if found is not None:
            prompts.remove(found)

    def told(self, peer_id: str, block_tokens: int, now: float) -> None:
        """A node says that so much is ahead of what is sent from now on."""
        self._told[peer_id] = (now, block_tokens)

    def adjusted(self, snapshot: Snapshot, now: float) -> Snapshot:
        """The snapshot with what is ahead of a prompt that is sent ``now``."""
        oldest = snapshot.taken_at - self._record_seconds
        for peer_id, prompts in list(self._sent.items()):
            prompts[:] = [prompt for prompt in prompts if prompt[0] > oldest]
            if not prompts:
                del self._sent[peer_id]
        self._told = {peer_id: told for peer_id, told in self._told.items() if told[0] > oldest}
        return replace(snapshot, nodes=tuple(self._adjusted(node, now) for node in snapshot.nodes))

    def _adjusted(self, node: NodeView, now: float) -> NodeView:
        prompts = self._sent.get(node.peer_id, ())
        at, ahead = node.expires_at - self._record_seconds, float(node.backlog_tokens)
        told_at, told = self._told.get(node.peer_id, (at, 0))
        if told_at > at:
            at, ahead = told_at, float(told)
        for sent_at, tokens in prompts:
            if sent_at >= at:
                ahead = _after(ahead, sent_at - at, node) + tokens
                at = sent_at
        left = round(_after(ahead, now - at, node))
        return node if left == node.backlog_tokens else replace(node, backlog_tokens=left)


def _after(block_tokens: float, seconds: float, node: NodeView) -> float:
    """What is left of so much work after so long."""
    if node.prefill_seconds <= 0:
        return 0.0
    return max(0.0, block_tokens - max(0.0, seconds) / node.prefill_seconds)
