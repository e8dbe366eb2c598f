"""What a client says on its control stream: pings are answered here, silence is bounded, the rest is handed on."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dht import Stream
from swarm_node.tasks import deadline
from swarm_node.wire import Message, Ping, Pong, receive_message, send_message

Obey = Callable[[Message, torch.Tensor | None], bool]
"""Takes a message, with the hidden states of a Step. True if nothing more is to be heard."""


def _enough(_message: Message, _hidden: torch.Tensor | None) -> bool:
    return True


async def listen(
    stream: Stream,
    silence_seconds: float,
    complaint: str,
    obey: Obey = _enough,
    *,
    steps: Callable[[], int] = lambda: 0,
    hidden_size: int | None = None,
    max_tokens: int = 0,
) -> Message:
    """Hand every message but pings to ``obey`` until it has enough, by default of the first; returns the last.

    ``steps`` tells how many are done. Without ``hidden_size`` no Step may come, and none of more than ``max_tokens``.
    Raises PeerSilent with ``complaint`` if the client says or reads nothing for so long, StreamClosed, ProtocolError,
    and what ``obey`` raises.
    """
    with deadline(silence_seconds, complaint) as again:
        while True:
            message, hidden = await receive_message(stream, hidden_size, max_tokens)
            again()
            if isinstance(message, Ping):
                await send_message(stream, Pong(steps=steps()))
            elif obey(message, hidden):
                return message
