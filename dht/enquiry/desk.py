"""Where a node answers clients that ask what lies in the hash table: no more than it can, and each its share."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from dht.daemon import Stream
from dht.enquiry.messages import packed_reply, receive_question, send_reply
from dht.entry import Entries
from dht.settings import (
    ENQUIRIES_AT_ONCE,
    ENQUIRIES_BURST,
    ENQUIRIES_OF_PEER,
    ENQUIRIES_PER_SECOND,
    ENQUIRY_LOOKUPS,
    LOOKUP_SECONDS,
    RPC_SECONDS,
)
from routing.errors import NetworkError, PeerSilent


class Desk:
    """Answers questions from what ``entries`` finds.

    Owned by the peer, which serves ``answer``. It holds books on who asks: a peer that asks too often waits, and one
    too many is refused. Clients that ask for the same at the same time share one lookup, which begins after each has
    asked, so that nobody hears what is old.
    """

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._present: Counter[str] = Counter()
        self._due: dict[str, float] = {}
        """Until when each peer has used up its share (trio's clock)."""
        self._lookups: dict[tuple[str, ...], _Lookup] = {}
        self._limit = trio.CapacityLimiter(ENQUIRY_LOOKUPS)

    async def answer(self, stream: Stream) -> None:
        """One question of the peer of ``stream``. Raises NetworkError for one that is refused, ProtocolError."""
        with self._place(stream.peer_id):
            with trio.move_on_after(RPC_SECONDS) as scope:
                keys = await receive_question(stream)
            if scope.cancelled_caught:
                raise PeerSilent(f"no question came for {RPC_SECONDS:g} s")
            with trio.move_on_after(LOOKUP_SECONDS) as scope:
                await trio.sleep(self._pause(stream.peer_id))
                await send_reply(stream, await self._found(keys))
            if scope.cancelled_caught:
                raise PeerSilent(f"a question could not be answered within {LOOKUP_SECONDS:g} s")

    @contextmanager
    def _place(self, peer_id: str) -> Iterator[None]:
        if self._present[peer_id] >= ENQUIRIES_OF_PEER or self._present.total() >= ENQUIRIES_AT_ONCE:
            raise NetworkError("too many questions at a time")
        self._present[peer_id] += 1
        try:
            yield
        finally:
            self._present[peer_id] -= 1
            if not self._present[peer_id]:
                del self._present[peer_id]

    def _pause(self, peer_id: str) -> float:
        """Seconds until it is the peer's turn."""
        now = trio.current_time()
        if len(self._due) > ENQUIRIES_AT_ONCE:
            self._due = {other: due for other, due in self._due.items() if due > now}
        due = self._due[peer_id] = max(now, self._due.get(peer_id, now)) + 1 / ENQUIRIES_PER_SECOND
        return max(0.0, due - now - ENQUIRIES_BURST / ENQUIRIES_PER_SECOND)

    async def _found(self, keys: tuple[str, ...]) -> bytes:
        if not keys:
            return packed_reply(time.time(), ())
        asked = trio.current_time()
        lookup = self._lookups.setdefault(keys, _Lookup())
        lookup.users += 1
        try:
            async with lookup.turn:
                if lookup.begun < asked:
                    async with self._limit:
                        await lookup.run(self._entries, keys)
                return lookup.reply
        finally:
            lookup.users -= 1
            if not lookup.users:
                del self._lookups[keys]


class _Lookup:
    """The latest reply to one question, for as long as anybody wants one."""

    def __init__(self) -> None:
        self.users = 0
        self.turn = trio.Lock()
        self.begun = -math.inf
        self.reply = b""

    async def run(self, entries: Entries, keys: Sequence[str]) -> None:
        begun = trio.current_time()
        found = await entries.get(keys)
        self.reply, self.begun = packed_reply(time.time(), found), begun
