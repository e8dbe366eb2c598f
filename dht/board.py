"""What peers publish under one name: one signed entry of each, until it expires or is withdrawn."""

from __future__ import annotations

import hashlib
import logging
import time

from dht.entry import Entries, Entry
from dht.settings import EXPIRATION_STEP_SECONDS, SHARDS
from routing.errors import NetworkError

log = logging.getLogger(__name__)

_WITHDRAWN = b""
"""Published in place of a value by a peer that takes it back."""
_ATTEMPTS = 2
"""To publish: the second knows of what the first has met."""


class Board:
    """The entries under ``name``, as on a board to which everybody may pin one note.

    Holds nothing that needs closing. An entry fades by itself when its time is over, so one of a node that vanished is
    gone soon without anybody's help. Entries are spread over SHARDS keys by their publisher's id, so that no peer has
    to keep, and no lookup to carry, all of them.
    """

    def __init__(self, table: Entries, name: str) -> None:
        self.peer_id = table.peer_id
        self._table = table
        self._keys = [shard_key(name, shard) for shard in range(SHARDS)]
        self._own_key = self._keys[shard_of(table.peer_id)]
        self._last_expiration: float | None = None

    async def publish(self, value: bytes, expires_in: float) -> None:
        """This peer's entry is ``value`` for ``expires_in`` seconds, or until the next one or the withdrawal.

        It lasts longer only where it replaces one that would have: the later expiration wins. Raises NetworkError if
        nobody keeps it.
        """
        await self._publish(value, time.time() + expires_in)

    async def withdraw(self) -> None:
        """Make this peer's entry vanish now. Raises NetworkError if nobody keeps the withdrawal.

        What is published in place of the entry outlives it by a moment only, so that the peer can come back at once.
        """
        if self._last_expiration is not None and self._last_expiration > time.time():
            await self._publish(_WITHDRAWN, self._last_expiration)

    async def read(self) -> dict[str, Entry]:
        """All entries that live, by the peer id of their publisher. Raises NetworkError if nobody can be asked."""
        found: dict[str, Entry] = {}
        for shard, entries in enumerate(await self._table.get(self._keys)):
            for peer_id, entry in entries.items():
                if shard_of(peer_id) != shard:
                    log.debug("entry of peer %s left out: it lies under a key that is not its publisher's", peer_id)
                elif entry.value != _WITHDRAWN:
                    found[peer_id] = entry
        return found

    async def _publish(self, value: bytes, expiration: float) -> None:
        for _ in range(_ATTEMPTS):
            if self._last_expiration is None:
                # A former life of this peer may have left an entry that expires later than ours would.
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
        return entries.get(self.peer_id)


def shard_key(name: str, shard: int) -> str:
    """The key of one of the SHARDS parts of the entries under ``name``."""
    return f"swarm-node/{name}/{shard}"


def shard_of(peer_id: str) -> int:
    """In which part a peer's entry lies."""
    return hashlib.sha256(peer_id.encode()).digest()[0] % SHARDS
