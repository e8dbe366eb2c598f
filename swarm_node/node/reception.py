"""Whoever has opened a stream, until it is clear what for: questions are answered here, sessions are the host's."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dht import Stream
from routing import Span
from routing.errors import ProtocolError, SwarmError
from swarm_node.node.conversation import listen
from swarm_node.node.promises import Promises
from swarm_node.node.settings import PROBES_AT_ONCE
from swarm_node.settings import OPEN_SECONDS, PROBE_BYTES
from swarm_node.tasks import deadline
from swarm_node.wire import About, Close, Description, Open, Probe, Probed, Rely, Wait, send_message


@dataclass(frozen=True, slots=True)
class Served:
    """What this node serves, as it tells anyone who asks."""

    fingerprint: str
    name: str
    span: Span
    hidden_size: int


class Reception:
    """Speaks with whoever has opened a stream until it is clear what for; kept by the session host."""

    def __init__(self, served: Served, promises: Promises) -> None:
        self.served = served
        self.span: Span | None = served.span
        """The blocks that sessions may use from now on; None while there are none."""
        self._promises = promises
        self._probing = 0

    async def welcome(self, stream: Stream) -> Open | Wait | None:
        """Answer questions until a session is opened or has to wait; None if the stream is closed before.

        Raises ProtocolError, PeerSilent, StreamClosed, and SwarmError if this node is busy being measured.
        """
        probing = False
        try:
            while True:
                message = await listen(stream, OPEN_SECONDS, "no session was opened")
                match message:
                    case Open() | Wait():
                        return message
                    case Close():
                        return None
                    case Probe():
                        if not probing and self._probing >= PROBES_AT_ONCE:
                            raise SwarmError("another peer is measuring its bandwidth to this node")
                        self._probing += not probing
                        probing = True
                        await self._send_bytes(message.answer_bytes, stream)
                    case About():
                        await send_message(stream, self._description())
                    case Rely():
                        await send_message(stream, self._promises.answer(message, self.span))
                    case _:
                        raise ProtocolError(f"'{message.type}' before a session was opened")
        finally:
            self._probing -= probing

    def _description(self) -> Description:
        served, span = self.served, self.span
        return Description(
            model=served.fingerprint, name=served.name, start=span.start if span else 0, end=span.end if span else 0
        )

    async def _send_bytes(self, count: int, stream: Stream) -> None:
        # Random, so that nothing on the way can shorten them.
        payload = torch.randint(256, (min(count, PROBE_BYTES),), dtype=torch.uint8)
        with deadline(OPEN_SECONDS, "takes in no more of a bandwidth measurement"):
            await send_message(stream, Probed(), payload)
