"""What a node measures of the way between itself and a peer: round trip and bandwidth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import trio

from dht import Peer, Stream
from routing import NodeView
from swarm_node.node.settings import PINGS, PROBE_SECONDS
from swarm_node.settings import OPEN_SECONDS, PROBE_BYTES
from swarm_node.tasks import deadline
from swarm_node.wire import Message, Ping, Pong, Probe, Probed, answer_to, asking


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes per second to and from a peer."""

    upload_rate: float
    download_rate: float


async def round_trip(peer: Peer, node: NodeView) -> float:
    """Seconds there and back, the shortest of PINGS. Raises NetworkError or PeerSilent."""
    async with asking(peer, node.peer_id, node.addresses) as stream:
        with deadline(OPEN_SECONDS, "did not answer a ping"):
            return min([await _timed(stream, Ping(), None, Pong) for _ in range(PINGS)])


async def bandwidth(peer: Peer, node: NodeView) -> Bandwidth:
    """Send PROBE_BYTES each way, and take off what an empty message needs. Raises SwarmError if the node is busy."""
    payload = torch.randint(256, (PROBE_BYTES,), dtype=torch.uint8)  # so that nothing on the way can shorten it
    async with asking(peer, node.peer_id, node.addresses) as stream:
        with deadline(PROBE_SECONDS, "did not answer a bandwidth measurement"):
            # The first transfer opens TCP's window; only the second is at the speed of the link.
            await _timed(stream, Probe(answer_bytes=PROBE_BYTES), payload, Probed)
            empty = await _timed(stream, Probe(answer_bytes=0), None, Probed)
            up = await _timed(stream, Probe(answer_bytes=0), payload, Probed)
            down = await _timed(stream, Probe(answer_bytes=PROBE_BYTES), None, Probed)
    return Bandwidth(PROBE_BYTES / max(up - empty, 1e-4), PROBE_BYTES / max(down - empty, 1e-4))


async def _timed(stream: Stream, question: Message, payload: torch.Tensor | None, expected: type[Message]) -> float:
    start = trio.current_time()
    await answer_to(stream, question, expected, payload)
    return trio.current_time() - start
