"""Who hosts what of one model: nodes announce themselves in it, everybody reads it as one snapshot."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from dht.entry import Entries, Entry
from dht.records import NodeRecord
from dht.settings import EXPIRATION_STEP_SECONDS, SHARDS
from routing.errors import NetworkError, ProtocolError
from routing.snapshot import NodeState, NodeView, Snapshot

log = logging.getLogger(__name__)

_WITHDRAWN = b""
"""Published in place of a record by a node that has left."""
_ATTEMPTS = 2
"""To publish: the second knows of what the first has met."""


class Directory:
    """The nodes of one model, by its fingerprint: two models never mix.

    Holds nothing that needs closing. A record fades by itself when its time is over, so a node that vanished is gone
    soon without anybody's help. Records are spread over SHARDS keys by their publisher's id, so that no peer has to
    keep, and no lookup to carry, all of them.
    """

    def __init__(
        self, table: Entries, model: str, meet: Callable[[Sequence[NodeView]], None] = lambda nodes: None
    ) -> None:
        """``meet`` is told which nodes there are, whenever somebody looks."""
        self.model = model
        self._meet = meet
        self._table = table
        self._keys = [_key(model, shard) for shard in range(SHARDS)]
        self._own_key = self._keys[_shard(table.peer_id)]
        self._last_expiration: float | None = None

    async def announce(self, view: NodeView, expires_in: float) -> None:
        """Publish this node as ``view``, for ``expires_in`` seconds or until the next announcement or withdrawal.

        It lasts longer only where it replaces one that would have: the later expiration wins. Raises NetworkError if
        nobody keeps it, ProtocolError for a view that breaks a record's bounds or is another peer's.
        """
        if view.peer_id != self._table.peer_id:
            raise ProtocolError("a node can announce itself only")
        await self._publish(NodeRecord.from_view(view).encode(), time.time() + expires_in)

    async def withdraw(self) -> None:
        """Make this node vanish from snapshots now. Raises NetworkError if nobody keeps the withdrawal.

        What is published in place of the record outlives it by a moment only, so that the node can come back at once.
        """
        if self._last_expiration is not None and self._last_expiration > time.time():
            await self._publish(_WITHDRAWN, self._last_expiration)

    async def snapshot(self) -> Snapshot:
        """All nodes of the model that are not OFFLINE. Raises NetworkError if the swarm cannot be asked."""
        taken_at = time.time()
        nodes: dict[str, NodeView] = {}
        for shard, entries in enumerate(await self._table.get(self._keys)):
            for peer_id, entry in entries.items():
                view = self._read(peer_id, entry, shard)
                if view is not None and view.state is not NodeState.OFFLINE:
                    nodes[peer_id] = view
        snapshot = Snapshot(self.model, tuple(nodes[peer_id] for peer_id in sorted(nodes)), taken_at)
        self._meet(snapshot.nodes)
        return snapshot

    def _read(self, peer_id: str, entry: Entry, shard: int) -> NodeView | None:
        if entry.value == _WITHDRAWN:
            return None
        try:
            if _shard(peer_id) != shard:
                raise ProtocolError("it lies under a key that is not its publisher's")
            return replace(NodeRecord.decode(entry.value).to_view(peer_id), expires_at=entry.expiration)
        except ProtocolError as error:
            log.debug("record of peer %s left out: %s", peer_id, error)
            return None

    async def _publish(self, value: bytes, expiration: float) -> None:
        for _ in range(_ATTEMPTS):
            if self._last_expiration is None:
                # A former life of this node may have left a record that expires later than ours would.
                published = await self._published()
                self._last_expiration = published.expiration if published else 0.0
            expiration = max(expiration, self._last_expiration + EXPIRATION_STEP_SECONDS)
            self._last_expiration = expiration
            if await self._table.store(self._own_key, value, expiration):
                return
            # The answer is that of one replica: ask all of them.
            published = await self._published()
            if published is not None and published.expiration == expiration:
                return
            self._last_expiration = None
        raise NetworkError("no peer keeps this node's record; check the network and this machine's clock")

    async def _published(self) -> Entry | None:
        (entries,) = await self._table.get([self._own_key])
        return entries.get(self._table.peer_id)


def _key(model: str, shard: int) -> str:
    return f"swarm-node/nodes/{model}/{shard}"


def _shard(peer_id: str) -> int:
    return hashlib.sha256(peer_id.encode()).digest()[0] % SHARDS
