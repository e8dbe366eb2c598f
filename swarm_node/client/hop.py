"""A client's stream to one node: a session waits in line on it, is opened, runs, and ends."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TypeVar

import trio

from dht import Peer, Stream
from dht.nursery import open_owner_nursery
from routing import NodeView
from routing.errors import CacheFull, ProtocolError, StreamClosed, SwarmError
from swarm_node.client.round_trips import RoundTrips
from swarm_node.client.settings import HEARTBEAT_SECONDS, PEER_SILENCE_SECONDS
from swarm_node.settings import OPEN_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire import (
    Close,
    Failed,
    Message,
    Open,
    Opened,
    Ping,
    Pong,
    Queued,
    Room,
    Wait,
    answer_to,
    end_stream,
    error_of,
    open_stream,
    receive_message,
    send_message,
)

Answer = TypeVar("Answer", bound=Message)


class HopState(Enum):
    """Where a HopStream is; see _FOLLOWS."""

    NEW = auto()
    """The node has been asked for nothing."""
    JOINING = auto()
    """It is being asked for a place in line."""
    QUEUED = auto()
    OFFERED = auto()
    """In line, and the node has set room aside at some time: it may be there still."""
    LEFT = auto()
    """In line no more; ``failure`` says why."""
    CLAIMED = auto()
    """Asked to open the session on the place in line, which is used up by that, whatever comes of it."""
    OPEN = auto()
    ENDED = auto()


_FOLLOWS = {
    HopState.NEW: {HopState.OPEN, HopState.ENDED},
    HopState.JOINING: {HopState.QUEUED, HopState.LEFT},
    HopState.QUEUED: {HopState.OFFERED, HopState.LEFT},
    HopState.OFFERED: {HopState.CLAIMED, HopState.LEFT},
    HopState.LEFT: set[HopState](),
    HopState.CLAIMED: {HopState.OPEN, HopState.ENDED},
    HopState.OPEN: {HopState.ENDED},
    HopState.ENDED: set[HopState](),
}
"""From NEW the session is opened at once, from JOINING by way of the node's line."""


class HopStream:
    """One stream to one node, for one session.

    With ``asking`` it begins in line: ``stand`` is the task that owns the stream until the session is open. After
    ``open`` it is the caller's, who reads from ``live``, runs ``beat`` beside, and ends it with ``end``.
    """

    def __init__(self, peer: Peer, node: NodeView, round_trips: RoundTrips, asking: Wait | None = None) -> None:
        self.node = node
        self.state = HopState.NEW if asking is None else HopState.JOINING
        self.need = 0 if asking is None else node.session_tokens(asking.max_tokens, asking.end - asking.start)
        """Block-tokens that it waits for."""
        self.ahead: int | None = None
        """Sessions that were before this one in line; None until the node has said so."""
        self.failure: SwarmError | None = None
        """Why it has LEFT, or ENDED by the node's doing before the session was open."""
        self.opened = Opened()
        """What the node said when it opened the session."""
        self.steps_done = 0
        """Of the session's, as the node last said."""
        self._peer = peer
        self._round_trips = round_trips
        self._asking = asking
        self._stream: Stream | None = None
        self._scope = trio.CancelScope()
        self._answered = trio.Event()
        """The node has answered a claim, or never will."""
        self._pinged_at = 0.0

    @property
    def standing(self) -> bool:
        """Whether it is in line, or about to be."""
        return self.state in (HopState.JOINING, HopState.QUEUED, HopState.OFFERED)

    @property
    def room(self) -> bool:
        """Whether the node has set room aside."""
        return self.state is HopState.OFFERED

    @property
    def live(self) -> Stream:
        assert self._stream is not None, "used only once there is one"
        return self._stream

    async def stand(self, news: Callable[[], None]) -> None:
        """Wait in line until that fails, or ends by ``leave`` or ``open``; never raises.

        Closes the stream in the end unless the session is OPEN. ``news`` is called whenever something has changed.
        """
        assert self._asking is not None
        try:
            with self._scope:
                await self._connect()
                self.ahead = (await self._ask(self._asking, Queued)).ahead
                self._enter(HopState.QUEUED)
                news()
                async with open_owner_nursery() as nursery:
                    nursery.start_soon(self.beat)
                    await self._hear(news)
        except SwarmError as error:
            self._fail(error)
        finally:
            if self._stream is not None and self.state is not HopState.OPEN:
                await end_stream(self._stream, Close())
            self._answered.set()
            news()

    def leave(self) -> None:
        """Out of the line."""
        self._fail(StreamClosed("no longer wanted"))

    async def open(self, opening: Open) -> None:
        """Open the session at this node, with the place in line if there is one.

        Raises what the node says when it refuses, CacheFull mostly, and NetworkError or PeerSilent if it does not
        answer.
        """
        if self.state is HopState.NEW:
            await self._open_at_once(opening)
        elif self.state is HopState.OFFERED:
            await self._claim(opening)
        else:
            raise self.failure or StreamClosed("is not in line")

    async def end(self, last_word: Close) -> None:
        """Close the stream. Not stopped by cancellation."""
        self._enter(HopState.ENDED)
        if self._stream is not None:
            await end_stream(self._stream, last_word)

    async def beat(self) -> None:
        """Ping the node for as long as the session is in line, or else open. Raises StreamClosed when it is gone.

        The answer to a ping sent after a claim would meet the chain, which knows nothing of it.
        """
        in_line = self.standing
        while self.standing is in_line:
            self._pinged_at = trio.current_time()
            await send_message(self.live, Ping())
            await trio.sleep(HEARTBEAT_SECONDS)

    def pong(self, answer: Pong) -> None:
        """The node's answer to a ping."""
        self.steps_done = answer.steps
        self._round_trips.learn(self.node, trio.current_time() - self._pinged_at)

    async def _connect(self) -> None:
        self._stream = await open_stream(self._peer, self.node.peer_id, self.node.addresses)

    async def _ask(self, question: Message, expected: type[Answer]) -> Answer:
        asked_at = trio.current_time()
        try:
            with deadline(OPEN_SECONDS, "did not answer"):
                answer = await answer_to(self.live, question, expected)
        except CacheFull:  # a round trip all the same
            self._round_trips.learn(self.node, trio.current_time() - asked_at)
            raise
        self._round_trips.learn(self.node, trio.current_time() - asked_at)
        return answer

    async def _open_at_once(self, opening: Open) -> None:
        try:
            await self._connect()
            self.opened = await self._ask(opening, Opened)
            self._enter(HopState.OPEN)
        except BaseException:
            await self.end(Close())
            raise

    async def _claim(self, opening: Open) -> None:
        self._enter(HopState.CLAIMED)
        try:
            with deadline(OPEN_SECONDS, "did not answer"):
                await send_message(self.live, opening)
                await self._answered.wait()
            if self.state is not HopState.OPEN:
                raise self.failure or StreamClosed("went away")
        except BaseException:
            if self.state is HopState.OPEN:  # ``stand`` has left the stream to this call
                self.live.close()
            # Refused elsewhere, or out of time: what the stream says once it is closed is not the node's fault.
            self._enter(HopState.ENDED)
            self._scope.cancel()
            raise

    async def _hear(self, news: Callable[[], None]) -> None:
        """Listen in line until the node has answered a claim: then the next frame is for the chain to read."""
        while True:
            with deadline(PEER_SILENCE_SECONDS, "silent"):
                message, _ = await receive_message(self.live)
            match message:
                case Room():
                    self._enter(HopState.OFFERED)
                    news()
                case Pong():
                    self.pong(message)
                case Opened() if not self.standing:
                    self.opened = message
                    self._enter(HopState.OPEN)  # unless whoever claimed it has given up meanwhile
                    self._answered.set()
                    return
                case Failed():
                    raise error_of(message)
                case _:
                    raise ProtocolError(f"unexpected '{message.type}' in line")

    def _fail(self, error: SwarmError) -> None:
        """The end before the session was open."""
        if self.standing:
            self._enter(HopState.LEFT)
        elif self.state is HopState.CLAIMED:
            self._enter(HopState.ENDED)
        else:
            return
        self.failure = error
        self._scope.cancel()

    def _enter(self, state: HopState) -> None:
        """Go on to ``state``, unless what happened meanwhile rules that out."""
        if state in _FOLLOWS[self.state]:
            self.state = state
