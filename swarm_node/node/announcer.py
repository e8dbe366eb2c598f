"""Keeps a node's record in the DHT true and fresh, and the card of its model beside it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import trio

from dht import Catalogue, Directory
from routing import Card, NodeView
from routing.errors import NetworkError, ProtocolError
from swarm_node.node.settings import CARD_LIFETIME_SECONDS, CARD_SECONDS, MIN_ANNOUNCE_SECONDS, WITHDRAW_SECONDS
from swarm_node.settings import ANNOUNCE_SECONDS, RECORD_SECONDS

log = logging.getLogger(__name__)


class Announcer:
    """Publishes one node's view of itself, and what model that is of.

    Owned by the node, whose nursery runs ``run``; ``withdraw`` is the last call.
    """

    def __init__(self, directory: Directory, view: Callable[[], NodeView], catalogue: Catalogue, card: Card) -> None:
        """``view`` tells what the node is at the moment."""
        self._directory = directory
        self._view = view
        self._catalogue = catalogue
        self._card = card
        self._card_due = -math.inf
        self._changed = trio.Event()

    def changed(self) -> None:
        """The view is another: publish it soon, not only when the last one is about to fade."""
        self._changed.set()

    async def publish(self) -> None:
        """Publish the view, and the card if it is due. A network that fails is only logged: the next time is near."""
        async with trio.open_nursery() as nursery:
            if trio.current_time() >= self._card_due:
                nursery.start_soon(self._publish_card)
            try:
                await self._directory.announce(self._view(), RECORD_SECONDS)
            except NetworkError as error:
                log.warning("could not announce this node: %s; trying again", error)

    async def _publish_card(self) -> None:
        self._card_due = trio.current_time() + CARD_SECONDS
        try:
            await self._catalogue.publish(self._card, CARD_LIFETIME_SECONDS)
        except NetworkError as error:
            self._card_due = -math.inf
            log.info("could not publish what model this node serves: %s", error)
        except ProtocolError as error:
            log.warning("others cannot see what model this node serves: %s", error)

    async def run(self) -> None:
        """Publish every ANNOUNCE_SECONDS, and soon after a change, until cancelled."""
        while True:
            await trio.sleep(MIN_ANNOUNCE_SECONDS)
            with trio.move_on_after(ANNOUNCE_SECONDS - MIN_ANNOUNCE_SECONDS):
                await self._changed.wait()
            self._changed = trio.Event()
            await self.publish()

    async def withdraw(self) -> None:
        """Remove record and card, even under cancellation; if that fails they fade."""
        with trio.move_on_after(WITHDRAW_SECONDS, shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_withdraw, self._catalogue)
                nursery.start_soon(_withdraw, self._directory)


async def _withdraw(published: Catalogue | Directory) -> None:
    try:
        await published.withdraw()
    except NetworkError as error:
        log.info("could not withdraw what this node has published: %s", error)
