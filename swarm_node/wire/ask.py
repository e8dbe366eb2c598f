"""A question to a peer: a stream to it, what is sent, and the one kind of answer that will do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from dht import Peer, Stream
from routing.errors import ProtocolError
from swarm_node.settings import CONNECT_SECONDS, OPEN_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire.frames import end_stream, error_of, receive_message, send_message
from swarm_node.wire.messages import SESSION_PROTOCOL, Close, Failed, Message

if TYPE_CHECKING:
    import torch

Answer = TypeVar("Answer", bound=Message)


async def ask(
    peer: Peer, peer_id: str, addresses: Sequence[str], question: Message, expected: type[Answer], complaint: str
) -> Answer:
    """What the peer of ``peer_id`` answers to ``question``, on a stream of its own.

    Raises NetworkError, PeerSilent with ``complaint`` after OPEN_SECONDS, and what answer_to() raises.
    """
    async with asking(peer, peer_id, addresses) as stream:
        with deadline(OPEN_SECONDS, complaint):
            return await answer_to(stream, question, expected)


@asynccontextmanager
async def asking(peer: Peer, peer_id: str, addresses: Sequence[str]) -> AsyncIterator[Stream]:
    """A stream for several questions to one peer, ended with the body. Raises NetworkError if there is no way."""
    stream = await open_stream(peer, peer_id, addresses)
    try:
        yield stream
    finally:
        await end_stream(stream, Close())


async def open_stream(peer: Peer, peer_id: str, addresses: Sequence[str]) -> Stream:
    """A stream of SESSION_PROTOCOL, which the caller owns. Raises NetworkError if there is no way."""
    return await peer.open_stream(peer_id, tuple(addresses), SESSION_PROTOCOL, CONNECT_SECONDS)


async def answer_to(
    stream: Stream, question: Message, expected: type[Answer], payload: torch.Tensor | None = None
) -> Answer:
    """Send ``question`` and return the next message, which must be of the kind ``expected``.

    Raises what the peer says when it refuses, ProtocolError if it says anything else, StreamClosed if it is gone.
    """
    await send_message(stream, question, payload)
    answer, _ = await receive_message(stream)
    if isinstance(answer, Failed):
        raise error_of(answer)
    if not isinstance(answer, expected):
        raise ProtocolError(f"answered '{answer.type}' to '{question.type}'")
    return answer
