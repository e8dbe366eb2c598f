"""Whether nodes whose records are overdue are still there: they are asked, and if they are silent all others too."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from functools import partial

import trio

from dht import Peer
from routing import NodeView, Snapshot
from routing.errors import PeerUnreachable, StreamClosed, UsageError
from routing.node.roll_call import everybody, overdue
from swarm_node.node.settings import ASK_AGAIN_SECONDS, ASK_SECONDS, ASKED_PEERS, OVERDUE_SECONDS
from swarm_node.settings import RECORD_SECONDS
from swarm_node.tasks import gather

log = logging.getLogger(__name__)

PING_PROTOCOL = "/ipfs/ping/1.0.0"
"""libp2p's own: every peer's daemon sends back what it gets, also while its node loads blocks or is busy computing."""
PING_BYTES = 32


class RollCall:
    """The nodes that one node knows to be gone although their records have not faded; owned by its lookout.

    Nobody is asked unless a record is overdue and blocks would be missing without its node. For that node to count as
    gone two things must come together: its announcement reached nobody, and this node, whom it answered before, has
    asked it twice in vain. Then all others are asked too, once, and who was heard before and is silent is gone with it.
    Whom this node never reached it says nothing of: others may well reach it.
    """

    def __init__(self, peer: Peer, blocks: int) -> None:
        """``blocks`` of the model: L."""
        self._peer = peer
        self._blocks = blocks
        self._reached: set[str] = set()
        """Peer ids of those that have answered this node."""
        self._gone: dict[str, float] = {}
        """By peer id, when the record fades of which that is known: a newer one shows that the node is back."""

    def reached(self, peer_id: str) -> None:
        """It has answered this node."""
        self._reached.add(peer_id)

    async def gone(self, snapshot: Snapshot, me: NodeView) -> frozenset[str]:
        """Peer ids of nodes in ``snapshot`` that are not there any more. Raises DaemonError."""
        records = {node.peer_id: node.expires_at for node in snapshot.nodes}
        self._reached &= records.keys()
        self._gone = {peer_id: fades for peer_id, fades in self._gone.items() if records.get(peer_id) == fades}
        left = snapshot.without(self._gone)
        asked = overdue(left, me, self._blocks, time.time() + RECORD_SECONDS - OVERDUE_SECONDS)
        silent = await self._silent(asked[:ASKED_PEERS], ASK_SECONDS)
        if silent:
            # What crashed with them may have announced itself a moment before. If that came out only when its record is
            # overdue too, those that could take its blocks would be on their way to others.
            known = {node.peer_id for node in silent}
            others = [node for node in everybody(left, me, self._blocks) if node.peer_id not in known]
            silent = await self._silent([*silent, *others][:ASKED_PEERS], ASK_AGAIN_SECONDS)
        for node in silent:
            log.info("node %s does not answer: it counts as gone until it announces itself again", node.peer_id)
            self._gone[node.peer_id] = node.expires_at
        return frozenset(self._gone)

    async def _silent(self, nodes: Sequence[NodeView], seconds: float) -> list[NodeView]:
        """Those that do not answer within ``seconds`` but did before; all are asked at once."""
        answered = await gather([partial(self._answers, node, seconds) for node in nodes])
        self._reached.update(node.peer_id for node, there in zip(nodes, answered, strict=True) if there)
        return [
            node for node, there in zip(nodes, answered, strict=True) if not there and node.peer_id in self._reached
        ]

    async def _answers(self, node: NodeView, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            try:
                # The daemon may dial for longer than this call waits: who asks again goes on with the same attempt.
                stream = await self._peer.open_stream(node.peer_id, node.addresses, PING_PROTOCOL, ASK_AGAIN_SECONDS)
                try:
                    sent = secrets.token_bytes(PING_BYTES)
                    await stream.send_all(sent)
                    return await stream.receive_exactly(PING_BYTES) == sent
                finally:
                    stream.close()
            except (PeerUnreachable, StreamClosed, UsageError) as error:
                log.debug("node %s: %s", node.peer_id, error)
        return False
