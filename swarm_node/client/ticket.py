"""A client's place in one node's waiting line."""

from __future__ import annotations

from collections.abc import Callable

import trio

from dht import Peer, Stream
from routing import Hop, NodeView
from routing.errors import ProtocolError, StreamClosed, SwarmError
from swarm_node.client.round_trips import RoundTrips
from swarm_node.client.settings import HEARTBEAT_SECONDS, PEER_SILENCE_SECONDS
from swarm_node.settings import CONNECT_SECONDS, OPEN_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire import (
    SESSION_PROTOCOL,
    Close,
    Failed,
    Open,
    Opened,
    Ping,
    Pong,
    Queued,
    Room,
    Wait,
    end_stream,
    error_of,
    receive_message,
    send_message,
)


class Ticket:
    """A stream on which one session waits for one node's cache.

    ``run`` is the task that owns it: start it in a nursery; it never raises, and closes the stream in the end, unless
    ``claim`` has given it to a chain. ``news`` is called whenever something here has changed.
    """

    def __init__(self, peer: Peer, place: Hop, asking: Wait, round_trips: RoundTrips, news: Callable[[], None]) -> None:
        self.node: NodeView = place.node
        self.need = asking.max_tokens * len(place.span)
        """Block-tokens that it waits for."""
        self.ahead: int | None = None
        """Sessions that were before this one; None until the node has said so."""
        self.room = False
        """The node has set room aside at some time: it may be there still."""
        self.failure: SwarmError | None = None
        """Why it is in line no more."""
        self.claimed = False
        """Once it has been claimed it is used up, whatever came of that."""
        self._peer = peer
        self._asking = asking
        self._round_trips = round_trips
        self._news = news
        self._stream: Stream | None = None
        self._scope = trio.CancelScope()
        self._abandoned = False
        """Whoever claimed it was refused elsewhere, or has run out of time."""
        self._given_away = False
        self._answered = trio.Event()
        self._opened: Opened | None = None
        self._pinged_at = 0.0

    @property
    def standing(self) -> bool:
        """Whether it is in line, or about to be."""
        return self.failure is None and not self.claimed

    def give_up(self) -> None:
        """Leave the line."""
        self._fail(StreamClosed("no longer wanted"))

    async def run(self) -> None:
        """Stand in line until that fails, or the session is opened or given up."""
        try:
            with self._scope:
                await self._stand()
        except SwarmError as error:
            self._fail(error)
        finally:
            if self._stream is not None and not self._given_away:
                await end_stream(self._stream, Close())
            self._answered.set()
            self._news()

    async def claim(self, opening: Open) -> tuple[Stream, Opened]:
        """Open the session at this node; the stream is the caller's from then on. Returns what the node said, too.

        Raises what the node says when it refuses, NetworkError, PeerSilent.
        """
        if self._stream is None or not self.standing:
            raise self.failure or StreamClosed("is not in line")
        self.claimed = True
        self.room = False
        try:
            with deadline(OPEN_SECONDS, "did not answer"):
                await send_message(self._stream, opening)
                await self._answered.wait()
            if not self._given_away or self._opened is None:
                raise self.failure or StreamClosed("went away")
        except BaseException:
            self._abandoned = True
            if self._given_away:
                self._stream.close()
            self._scope.cancel()
            raise
        return self._stream, self._opened

    async def _stand(self) -> None:
        node = self.node
        self._stream = await self._peer.open_stream(node.peer_id, node.addresses, SESSION_PROTOCOL, CONNECT_SECONDS)
        with deadline(OPEN_SECONDS, "did not answer"):
            asked_at = trio.current_time()
            await send_message(self._stream, self._asking)
            answer, _ = await receive_message(self._stream)
        self._round_trips.learn(node, trio.current_time() - asked_at)
        if isinstance(answer, Failed):
            raise error_of(answer)
        if not isinstance(answer, Queued):
            raise ProtocolError(f"answered '{answer.type}' to 'wait'")
        self.ahead = answer.ahead
        self._news()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat, self._stream)
            try:
                await self._listen(self._stream)
            except SwarmError as error:
                self._fail(error)
            nursery.cancel_scope.cancel()

    async def _listen(self, stream: Stream) -> None:
        """Hear the node until it has answered a claim: then the next frame is for the chain to read."""
        while True:
            with deadline(PEER_SILENCE_SECONDS, "silent"):
                message, _ = await receive_message(stream)
            match message:
                case Room():
                    self.room = True
                    self._news()
                case Pong():
                    self._round_trips.learn(self.node, trio.current_time() - self._pinged_at)
                case Opened():
                    self._opened = message
                    self._given_away = self.claimed and not self._abandoned
                    self._answered.set()
                    return
                case Failed():
                    raise error_of(message)
                case _:
                    raise ProtocolError(f"unexpected '{message.type}' in line")

    async def _beat(self, stream: Stream) -> None:
        try:
            # The answer to a ping sent after a claim would meet the chain, which knows nothing of it.
            while not self.claimed:
                self._pinged_at = trio.current_time()
                await send_message(stream, Ping())
                await trio.sleep(HEARTBEAT_SECONDS)
        except SwarmError as error:
            self._fail(error)

    def _fail(self, error: SwarmError) -> None:
        self.room = False
        # What a stream says that was closed in the middle of a claim is not the node's fault.
        if self.failure is None and not self._abandoned:
            self.failure = error
        self._scope.cancel()
