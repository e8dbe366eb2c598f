"""What the peers a user named serve: asked of them directly, since the DHT only answers for a known model."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import trio

from dht import Peer, PeerAddress
from routing.errors import SwarmError, WrongModel
from swarm_node.wire.ask import ask
from swarm_node.wire.messages import About, Description

log = logging.getLogger(__name__)


async def peers_models(peer: Peer, addresses: Sequence[str]) -> list[Description]:
    """What each peer of ``addresses`` serves; those that do not answer or serve nothing are left out."""
    found: list[Description] = []

    async def look(address: str) -> None:
        try:
            peer_id = PeerAddress.parse(address).peer_id
            found.append(await ask(peer, peer_id, (address,), About(), Description, "did not say what it serves"))
        except SwarmError as error:
            log.info("%s does not say what it serves: %s", address, error)

    async with trio.open_nursery() as nursery:
        for address in addresses:
            nursery.start_soon(look, address)
    return found


async def check_model(peer: Peer, name: str, fingerprint: str, addresses: Sequence[str]) -> None:
    """Nobody serves the model of this fingerprint: raise WrongModel if the peers named serve another one."""
    others = await peers_models(peer, addresses)
    if others and all(other.model != fingerprint for other in others):
        raise WrongModel(
            f"the peer serves {others[0].name} (fingerprint {others[0].model}), but yours is {name} (fingerprint "
            f"{fingerprint}); use the same weights, or bring yours to this swarm with swarm node --new-model"
        )
