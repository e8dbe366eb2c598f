"""A client's eyes: it asks a few members at once what lies under keys, and joins what they can prove."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import trio

from dht.clock import check_clock
from dht.daemon import Daemon
from dht.enquiry.messages import ENQUIRY_PROTOCOL, Reply, receive_reply, send_question
from dht.entry import Entry, key_id, verified
from dht.peer_id import short_name
from dht.settings import (
    ENQUIRY_AGAIN_SECONDS,
    ENQUIRY_GRACE_SECONDS,
    ENQUIRY_PEERS,
    ENQUIRY_PEERS_KNOWN,
    LOOKUP_SECONDS,
    RPC_SECONDS,
    VERIFIED_AT_A_TIME,
)
from routing.errors import NetworkError, PeerSilent, PeerUnreachable, ProtocolError

log = logging.getLogger(__name__)


class Enquirer:
    """What a client knows of whom to ask. Holds nothing that needs closing.

    Those who answer are asked again; who does not is asked last, or forgotten. Nodes that are met later stand in.
    """

    def __init__(self, daemon: Daemon, initial: Mapping[str, Sequence[str]]) -> None:
        """``initial`` are transports of members by their peer id; these are never forgotten."""
        self.peer_id = daemon.peer_id
        self._daemon = daemon
        self._initial = initial
        self._known = dict(initial)
        """Transports by peer id, in the order in which they are asked."""

    async def join(self, peer_id: str) -> None:
        """Make sure that ``peer_id``, to which there is a connection, is a member.

        Raises ClockSkew if its clock differs too much from ours, PeerUnreachable if it does not answer as a member.
        """
        asked = time.time()
        try:
            with trio.fail_after(RPC_SECONDS):
                reply = await self._ask_once_more(peer_id)
        except trio.TooSlowError:
            raise PeerUnreachable(f"peer {short_name(peer_id)} did not answer within {RPC_SECONDS:g} s") from None
        except (NetworkError, ProtocolError) as error:
            raise PeerUnreachable(f"peer {short_name(peer_id)} is no node of a swarm") from error
        check_clock(peer_id, reply.time, asked, time.time())

    async def _ask_once_more(self, peer_id: str) -> Reply:
        """Its first answer, or its second: one stream may end for many reasons, some of them this machine's."""
        try:
            return await self._ask(peer_id, ())
        except NetworkError as error:
            log.debug("peer %s is asked once more: %s", peer_id, error)
        await trio.sleep(ENQUIRY_AGAIN_SECONDS)
        return await self._ask(peer_id, ())

    def meet(self, nodes: Mapping[str, Sequence[str]]) -> None:
        """There are these nodes too: transports by peer id."""
        for peer_id in random.sample(list(nodes), len(nodes)):
            if peer_id in self._known or len(self._known) < ENQUIRY_PEERS_KNOWN:
                self._known[peer_id] = (*self._initial.get(peer_id, ()), *nodes[peer_id])

    async def store(self, key: str, value: bytes, expiration: float) -> bool:
        """A client publishes nothing: False."""
        return False

    async def get(self, keys: Sequence[str]) -> list[dict[str, Entry]]:
        """For each key what is published there, by peer id of the publisher; nothing if nobody is there to be asked.

        Raises PeerSilent if none of those that are there answers.
        """
        replies: list[Reply] = []
        with trio.move_on_after(LOOKUP_SECONDS) as patience:
            await self._ask_at_once(keys, replies)
        if not replies:
            if patience.cancelled_caught:
                raise PeerSilent(f"the swarm's directory did not answer within {LOOKUP_SECONDS:g} s; check the network")
            log.warning("no peer of the swarm answers")
        return await _joined(keys, replies)

    async def _ask_at_once(self, keys: Sequence[str], replies: list[Reply]) -> None:
        """Ask the first few, and more while nobody answers; once one has, the others have ENQUIRY_GRACE_SECONDS."""
        under_way = 0
        news = trio.Event()

        async def ask(peer_id: str) -> None:
            nonlocal under_way
            under_way += 1
            try:
                await self._daemon.connect(peer_id, self._known[peer_id], RPC_SECONDS)
                replies.append(await self._ask(peer_id, keys))
                nursery.cancel_scope.deadline = min(
                    nursery.cancel_scope.deadline, trio.current_time() + ENQUIRY_GRACE_SECONDS
                )
            except (NetworkError, ProtocolError) as error:
                log.debug("peer %s was asked in vain: %s", peer_id, error)
                transports = self._known.pop(peer_id)
                if peer_id in self._initial:
                    self._known[peer_id] = transports  # the last one now
            under_way -= 1
            if replies or not under_way:
                news.set()

        async with trio.open_nursery() as nursery:
            left = list(self._known)
            while left and not replies:
                asked, left = left[:ENQUIRY_PEERS], left[ENQUIRY_PEERS:]
                news = trio.Event()
                for peer_id in asked:
                    nursery.start_soon(ask, peer_id)
                with trio.move_on_after(RPC_SECONDS):
                    await news.wait()

    async def _ask(self, peer_id: str, keys: Sequence[str]) -> Reply:
        stream = await self._daemon.open_stream(peer_id, ENQUIRY_PROTOCOL, RPC_SECONDS)
        try:
            await send_question(stream, keys)
            return await receive_reply(stream, len(keys))
        finally:
            stream.close()


async def _joined(keys: Sequence[str], replies: Iterable[Reply]) -> list[dict[str, Entry]]:
    """Of each publisher the newest that it has signed: what expires last."""
    found: list[dict[str, Entry]] = [{} for _ in keys]
    now = time.time()
    for number, (key, entries) in enumerate(zip(map(key_id, keys), found, strict=True)):
        claims = {claim for reply in replies for claim in reply.claims[number] if claim.expiration > now}
        newest_first = iter(sorted(claims, key=lambda claim: claim.expiration, reverse=True))
        while some := list(islice(newest_first, VERIFIED_AT_A_TIME)):
            await trio.lowlevel.checkpoint()
            for claim in some:
                if claim.publisher not in entries:
                    entry = verified(key, claim.publisher, claim.signed, claim.expiration)
                    if entry is not None:
                        entries[claim.publisher] = entry
    return found
