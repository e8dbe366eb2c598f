"""Who hosts what of one model: nodes announce themselves in it, everybody reads it as one snapshot."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from dht.board import Board
from dht.entry import Entry
from dht.records import NodeRecord
from routing.errors import ProtocolError
from routing.snapshot import NodeState, NodeView, Snapshot

log = logging.getLogger(__name__)


class Directory:
    """The nodes of one model, by its fingerprint: two models never mix.

    Holds nothing that needs closing. A record fades by itself when its time is over, so a node that vanished is gone
    soon without anybody's help.
    """

    def __init__(
        self, board: Board, model: str, meet: Callable[[Sequence[NodeView]], None] = lambda nodes: None
    ) -> None:
        """``board`` is that of nodes of this model. ``meet`` is told which there are, whenever somebody looks."""
        self.model = model
        self._board = board
        self._meet = meet
        self._warned = False

    async def announce(self, view: NodeView, expires_in: float) -> None:
        """Publish this node as ``view``, for ``expires_in`` seconds or until the next announcement or withdrawal.

        It lasts longer only where it replaces one that would have: the later expiration wins. Raises NetworkError if
        nobody keeps it, ProtocolError for a view that breaks a record's bounds or is another peer's.
        """
        if view.peer_id != self._board.peer_id:
            raise ProtocolError("a node can announce itself only")
        await self._board.publish(NodeRecord.from_view(view).encode(), expires_in)

    async def withdraw(self) -> None:
        """Make this node vanish from snapshots now. Raises NetworkError if nobody keeps the withdrawal.

        What is published in place of the record outlives it by a moment only, so that the node can come back at once.
        """
        await self._board.withdraw()

    async def snapshot(self) -> Snapshot:
        """All nodes of the model that are not OFFLINE. Raises NetworkError if the swarm cannot be asked."""
        taken_at = time.time()
        views = [_read(peer_id, entry) for peer_id, entry in sorted((await self._board.read()).items())]
        nodes = tuple(view for view in views if view is not None and view.state is not NodeState.OFFLINE)
        if views and not any(views) and not self._warned:
            self._warned = True
            log.warning("%d nodes have records that cannot be read here; is one side an older version?", len(views))
        self._meet(nodes)
        return Snapshot(self.model, nodes, taken_at)


def _read(peer_id: str, entry: Entry) -> NodeView | None:
    try:
        return replace(NodeRecord.decode(entry.value).to_view(peer_id), expires_at=entry.expiration)
    except ProtocolError as error:
        log.debug("record of peer %s left out: %s", peer_id, error)
        return None
