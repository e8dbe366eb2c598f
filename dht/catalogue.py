"""Which models a swarm has: nodes publish a card of theirs beside their record, whoever comes reads them all."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections import Counter

import trio

from dht.board import Board
from dht.card_record import CardRecord
from dht.peer import Peer
from dht.settings import CARDS, MODELS
from routing.catalogue import Card, PresentModel, models_there
from routing.errors import NetworkError, ProtocolError
from routing.snapshot import Snapshot

log = logging.getLogger(__name__)

_SALT = secrets.token_bytes(16)
"""Makes which cards are read, where there are too many, nobody's to choose, and the same at every look."""


class Catalogue:
    """The cards of all nodes of a swarm, whatever they serve.

    Holds nothing that needs closing: a card fades by itself. A peer publishes one, so a stranger with one identity has
    one; of more than CARDS a reader takes some that nobody can foretell.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    async def publish(self, card: Card, expires_in: float) -> None:
        """Publish this node's card for ``expires_in`` seconds.

        Raises NetworkError if nobody keeps it, ProtocolError for a card that breaks a bound.
        """
        await self._board.publish(CardRecord.from_card(card).encode(), expires_in)

    async def withdraw(self) -> None:
        """Make this node's card vanish now. Raises NetworkError if nobody keeps the withdrawal."""
        await self._board.withdraw()

    async def cards(self) -> dict[str, Card]:
        """At most CARDS of them, by the peer id of their publisher. Raises NetworkError if nobody can be asked."""
        found = {}
        entries = await self._board.read()
        for peer_id in sorted(entries, key=_lot)[:CARDS]:
            try:
                found[peer_id] = CardRecord.decode(entries[peer_id].value).to_card()
            except ProtocolError as error:
                log.debug("card of peer %s left out: %s", peer_id, error)
        return found


def catalogue_of(peer: Peer) -> Catalogue:
    """The catalogue of the swarm that ``peer`` is in."""
    return Catalogue(peer.board("cards"))


async def read_models(peer: Peer) -> tuple[PresentModel, ...]:
    """The models of the swarm, those that can be used first; at most MODELS, those with most cards.

    Raises NetworkError if the swarm cannot be asked.
    """
    cards = await catalogue_of(peer).cards()
    counted = Counter(card.fingerprint for card in cards.values())
    snapshots: dict[str, Snapshot] = {}
    failures: list[NetworkError] = []

    async def look(fingerprint: str) -> None:
        try:
            snapshots[fingerprint] = await peer.directory(fingerprint).snapshot()
        except NetworkError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for fingerprint, _ in counted.most_common(MODELS):
            nursery.start_soon(look, fingerprint)
    if failures:
        raise failures[0]
    return models_there(cards, snapshots)


def _lot(peer_id: str) -> bytes:
    return hashlib.sha256(_SALT + peer_id.encode()).digest()
