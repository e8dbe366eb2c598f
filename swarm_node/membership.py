"""What the peers a user named serve: asked of them directly, since the DHT only answers for a known model."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import trio

from dht import Peer, PeerAddress
from routing.errors import SwarmError, WrongModel
from swarm_node.messages import SESSION_PROTOCOL, About, Close, Description
from swarm_node.settings import CONNECT_SECONDS, OPEN_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire import end_stream, receive_message, send_message

log = logging.getLogger(__name__)


async def peers_models(peer: Peer, addresses: Sequence[str]) -> list[Description]:
    """What each peer of ``addresses`` serves; those that do not answer or serve nothing are left out."""
    found: list[Description] = []

    async def ask(address: str) -> None:
        try:
            found.append(await _ask(peer, address))
        except SwarmError as error:
            log.info("%s does not say what it serves: %s", address, error)

    async with trio.open_nursery() as nursery:
        for address in addresses:
            nursery.start_soon(ask, address)
    return found


async def check_model(peer: Peer, name: str, fingerprint: str, addresses: Sequence[str]) -> None:
    """Nobody serves the model of this fingerprint: raise WrongModel if the peers named serve another one."""
    others = await peers_models(peer, addresses)
    if others and all(other.model != fingerprint for other in others):
        raise WrongModel(
            f"the peer serves {others[0].name} (fingerprint {others[0].model}), but --model is {name} (fingerprint "
            f"{fingerprint}); use the same weights, or start a swarm for yours with swarm node --new-swarm"
        )


async def _ask(peer: Peer, address: str) -> Description:
    stream = await peer.open_stream(PeerAddress.parse(address).peer_id, (address,), SESSION_PROTOCOL, CONNECT_SECONDS)
    try:
        with deadline(OPEN_SECONDS, "did not say what it serves"):
            await send_message(stream, About())
            answer, _ = await receive_message(stream)
    finally:
        await end_stream(stream, Close())
    if not isinstance(answer, Description):
        raise SwarmError(f"answered '{answer.type}' to 'about'")
    return answer
