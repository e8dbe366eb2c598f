"""A libp2p stream: bytes both ways to one peer whose identity the handshake has proved."""

from __future__ import annotations

from dht.daemon.connection import Connection


class Stream(Connection):
    """An encrypted stream to the peer ``peer_id``; see Connection for how it is read, written and closed.

    Owned by the task that opened it, or by the serving task for as long as its handler runs. That it could be opened
    does not prove that the peer is alive, and a peer that vanishes silently is noticed only after some 40 s: whoever
    reads from it needs a deadline.
    """

    def __init__(self, connection: Connection, peer_id: str) -> None:
        super().__init__(connection._socket, connection._received)
        self.peer_id = peer_id
