"""Keeps a node's record in the DHT true and fresh."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from dht import Directory
from routing import NodeView
from routing.errors import NetworkError
from swarm_node.node.settings import MIN_ANNOUNCE_SECONDS, WITHDRAW_SECONDS
from swarm_node.settings import ANNOUNCE_SECONDS, RECORD_SECONDS

log = logging.getLogger(__name__)


class Announcer:
    """Publishes one node's view of itself.

    Owned by the node, whose nursery runs ``run``; ``withdraw`` is the last call.
    """

    def __init__(self, directory: Directory, view: Callable[[], NodeView]) -> None:
        """``view`` tells what the node is at the moment."""
        self._directory = directory
        self._view = view
        self._changed = trio.Event()

    def changed(self) -> None:
        """The view is another: publish it soon, not only when the last one is about to fade."""
        self._changed.set()

    async def publish(self) -> None:
        """Publish the view now. A network that fails is only logged: the next time is near."""
        try:
            await self._directory.announce(self._view(), RECORD_SECONDS)
        except NetworkError as error:
            log.warning("could not announce this node: %s; trying again", error)

    async def run(self) -> None:
        """Publish every ANNOUNCE_SECONDS, and soon after a change, until cancelled."""
        while True:
            await trio.sleep(MIN_ANNOUNCE_SECONDS)
            with trio.move_on_after(ANNOUNCE_SECONDS - MIN_ANNOUNCE_SECONDS):
                await self._changed.wait()
            self._changed = trio.Event()
            await self.publish()

    async def withdraw(self) -> None:
        """Remove the record, even under cancellation; if that fails it fades."""
        with trio.move_on_after(WITHDRAW_SECONDS, shield=True):
            try:
                await self._directory.withdraw()
            except NetworkError as error:
                log.info("could not withdraw this node's record: %s", error)
