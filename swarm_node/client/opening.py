"""Opening one hop of a chain: what is asked of it, and the stream that results."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from dht import Peer, Stream
from routing import Hop, SessionShape
from routing.errors import ProtocolError
from swarm_node.client.round_trips import RoundTrips
from swarm_node.settings import CONNECT_SECONDS, OPEN_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire import (
    SESSION_PROTOCOL,
    Close,
    Failed,
    NextHop,
    Open,
    Opened,
    end_stream,
    error_of,
    receive_message,
    send_message,
)


def openings(hops: Sequence[Hop], session: bytes, model: str, shape: SessionShape) -> list[Open]:
    """What to ask of each hop: it is told which hop comes before it and which after."""
    asked: list[Open] = []
    for index, hop in enumerate(hops):
        after = None
        if index + 1 < len(hops):
            following = hops[index + 1].node
            after = NextHop(peer_id=following.peer_id, addresses=list(following.addresses))
        asked.append(
            Open(
                session=session,
                model=model,
                start=hop.span.start,
                end=hop.span.end,
                max_tokens=shape.max_tokens,
                previous=hops[index - 1].node.peer_id if index else None,
                next=after,
                prefix_keys=shape.prefix_keys,
            )
        )
    return asked


async def open_hop(peer: Peer, hop: Hop, opening: Open, round_trips: RoundTrips) -> tuple[Stream, Opened]:
    """A stream on which the hop has reserved cache, which the caller owns; and what it said.

    Raises NetworkError or PeerSilent if it does not answer, and what it says when it refuses: CacheFull mostly.
    """
    node = hop.node
    stream = await peer.open_stream(node.peer_id, node.addresses, SESSION_PROTOCOL, CONNECT_SECONDS)
    try:
        with deadline(OPEN_SECONDS, "did not answer"):
            asked_at = trio.current_time()
            await send_message(stream, opening)
            answer, _ = await receive_message(stream)
        round_trips.learn(node, trio.current_time() - asked_at)
        if isinstance(answer, Failed):
            raise error_of(answer)
        if not isinstance(answer, Opened):
            raise ProtocolError(f"answered '{answer.type}' to 'open'")
    except BaseException:
        await end_stream(stream, Close())
        raise
    return stream, answer
