"""The sessions a node serves: admission, the steps of each in order, and what ends them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
import trio

from dht import Peer, Stream
from routing import Span
from routing.errors import (
    CacheFull,
    ChainBroken,
    NetworkError,
    ProtocolError,
    StreamClosed,
    SwarmError,
    UsageError,
    WrongModel,
)
from swarm_node.engine import Engine
from swarm_node.errors import code_of
from swarm_node.reservation import Reservation
from swarm_node.settings import (
    CONNECT_SECONDS,
    OPEN_SECONDS,
    SESSION_SILENCE_SECONDS,
)
from swarm_node.tasks import deadline
from swarm_node.wire import (
    DTYPES,
    HOP_PROTOCOL,
    About,
    Attach,
    Close,
    Description,
    Failed,
    NextHop,
    Open,
    Opened,
    Ping,
    Pong,
    Result,
    Step,
    end_stream,
    receive_message,
    send_message,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """What this node serves, as it tells anyone who asks."""

    fingerprint: str
    name: str
    span: Span
    hidden_size: int


class SessionHost:
    """All sessions of one node.

    Owned by the node's task; ``serve_session`` and ``serve_hop`` are its stream handlers and run one task per stream.
    A session holds an engine reservation, and ends when its client's stream does.
    """

    def __init__(self, peer: Peer, engine: Engine, served: Served, changed: Callable[[], None]) -> None:
        self._peer = peer
        self._engine = engine
        self._served = served
        self._changed = changed
        self._sessions: dict[bytes, _HostedSession] = {}
        self._idle = trio.Event()
        self._idle.set()
        self._draining = False

    async def drain(self) -> None:
        """Admit no more sessions and return when the last has ended."""
        self._draining = True
        await self._idle.wait()

    async def serve_session(self, stream: Stream) -> None:
        """Speak SESSION_PROTOCOL with a client. A bad frame ends this stream only."""
        try:
            opening = await self._await_open(stream)
            if opening is not None:
                await self._serve(opening, stream)
        except SwarmError as error:
            log.info("session stream of %s ended: %s", stream.peer_id, error)
            if not isinstance(error, StreamClosed):
                await _report(stream, error)
        except Exception:
            log.exception("a defect ended a session stream of %s; the node serves on", stream.peer_id)

    async def serve_hop(self, stream: Stream) -> None:
        """Speak HOP_PROTOCOL with the node before this one on a session's chain."""
        try:
            with deadline(OPEN_SECONDS, "no session was named"):
                message, _ = await receive_message(stream)
            if not isinstance(message, Attach):
                raise ProtocolError(f"a hop stream begins with 'attach', not '{message.type}'")
            session = self._sessions.get(message.session)
            if session is None or session.opening.previous != stream.peer_id:
                raise ProtocolError("unknown session")
            await session.take_steps(stream)
        except SwarmError as error:
            log.info("hop stream of %s ended: %s", stream.peer_id, error)
            if not isinstance(error, StreamClosed):
                await _report(stream, error)
        except Exception:
            log.exception("a defect ended a hop stream of %s; the node serves on", stream.peer_id)

    async def _await_open(self, stream: Stream) -> Open | None:
        while True:
            with deadline(OPEN_SECONDS, "no session was opened"):
                message, _ = await receive_message(stream)
            match message:
                case About():
                    served = self._served
                    await send_message(
                        stream,
                        Description(
                            model=served.fingerprint, name=served.name, start=served.span.start, end=served.span.end
                        ),
                    )
                case Ping():
                    await send_message(stream, Pong(steps=0))
                case Open():
                    return message
                case Close():
                    return None
                case _:
                    raise ProtocolError(f"'{message.type}' before a session was opened")

    def _admit(self, opening: Open, stream: Stream) -> _HostedSession:
        served = self._served
        if opening.model != served.fingerprint:
            raise WrongModel(f"this node serves {served.name} ({served.fingerprint}), not {opening.model}")
        if opening.end <= opening.start:
            raise ProtocolError(f"blocks {opening.start}:{opening.end} hold no block")
        span = Span(opening.start, opening.end)
        if not served.span.covers(span):
            raise UsageError(f"this node hosts blocks {served.span}, not {span}")
        if opening.session in self._sessions:
            raise ProtocolError("a session of this id is running")
        if self._draining:
            raise CacheFull("this node is leaving and takes no more sessions")
        reservation = self._engine.reserve(opening.max_tokens, span)
        return _HostedSession(self._peer, self._engine, served.hidden_size, opening, reservation, stream)

    async def _serve(self, opening: Open, stream: Stream) -> None:
        session = self._admit(opening, stream)
        self._sessions[opening.session] = session
        if len(self._sessions) == 1:
            self._idle = trio.Event()
        self._changed()
        try:
            await send_message(stream, Opened())
            await session.run()
        finally:
            session.reservation.release()
            del self._sessions[opening.session]
            if not self._sessions:
                self._idle.set()
            self._changed()


class _HostedSession:
    """One session on this node, from its admission to the end of its client's stream."""

    def __init__(
        self, peer: Peer, engine: Engine, hidden_size: int, opening: Open, reservation: Reservation, stream: Stream
    ) -> None:
        self.opening = opening
        self.reservation = reservation
        self._peer = peer
        self._engine = engine
        self._hidden_size = hidden_size
        self._stream = stream
        self._scope = trio.CancelScope()
        self._attached: trio.CancelScope | None = None
        self._failure: Failed | None = None
        self._queue_in, self._queue_out = trio.open_memory_channel[tuple[Step, torch.Tensor]](float("inf"))
        self._queued_tokens = 0
        self._steps_done = 0

    async def run(self) -> None:
        """Serve until the client closes; raises nothing the client has not been told."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._work, nursery)
                    await self._listen()
                    nursery.cancel_scope.cancel()
        finally:
            if self._attached is not None:
                self._attached.cancel()
        if self._failure is not None:
            await end_stream(self._stream, self._failure)

    async def take_steps(self, stream: Stream) -> None:
        """Queue the steps that the previous hop sends, until it closes or the session ends."""
        if self._attached is not None:
            raise ProtocolError("the session has a hop stream already")
        with trio.CancelScope() as self._attached:
            while True:
                message, hidden = await receive_message(stream, self._hidden_size, self.opening.max_tokens)
                match message:
                    case Step():
                        assert hidden is not None
                        self._enqueue(message, hidden)
                    case Close():
                        return
                    case _:
                        raise ProtocolError(f"'{message.type}' on a hop stream")

    async def _listen(self) -> None:
        """Obey the client's control stream until it closes or breaks."""
        try:
            while True:
                with deadline(SESSION_SILENCE_SECONDS, "the client fell silent"):
                    message, hidden = await receive_message(self._stream, self._hidden_size, self.opening.max_tokens)
                match message:
                    case Ping():
                        with deadline(SESSION_SILENCE_SECONDS, "the client reads nothing"):
                            await send_message(self._stream, Pong(steps=self._steps_done))
                    case Step() if self.opening.previous is None:
                        assert hidden is not None
                        self._enqueue(message, hidden)
                    case Close():
                        return
                    case _:
                        raise ProtocolError(f"'{message.type}' in a running session")
        except StreamClosed:
            return
        except SwarmError as error:
            self._fail(error)

    def _enqueue(self, step: Step, hidden: torch.Tensor) -> None:
        if step.keep > step.tokens:
            raise ProtocolError(f"a step of {step.tokens} tokens cannot keep {step.keep}")
        if self._queued_tokens + step.tokens > 2 * self.opening.max_tokens:
            raise ProtocolError("more tokens are waiting than the session may ever hold")
        self._queued_tokens += step.tokens
        self._queue_in.send_nowait((step, hidden))

    async def _work(self, nursery: trio.Nursery) -> None:
        """Run the steps in order and send each on as soon as it is done."""
        onward: Stream | None = None
        try:
            async for step, hidden in self._queue_out:
                output = await self._engine.step(self.reservation, hidden, step.position)
                self._queued_tokens -= step.tokens
                output = output.to(DTYPES[step.dtype])
                if self.opening.next is not None:
                    # Opened only now: the client sends its first step when all hops have admitted the session.
                    onward = onward or await self._attach(self.opening.next, nursery)
                    await self._forward(onward, step, output)
                elif step.keep:
                    result = Result(number=step.number, tokens=step.keep, dtype=step.dtype)
                    await send_message(self._stream, result, output[step.tokens - step.keep :])
                self._steps_done = step.number + 1
        except SwarmError as error:
            self._fail(error)
        finally:
            if onward is not None:
                await end_stream(onward, Close())

    async def _attach(self, after: NextHop, nursery: trio.Nursery) -> Stream:
        try:
            stream = await self._peer.open_stream(after.peer_id, tuple(after.addresses), HOP_PROTOCOL, CONNECT_SECONDS)
            await send_message(stream, Attach(session=self.opening.session))
        except NetworkError as error:
            raise ChainBroken(str(error), after.peer_id, error) from error
        nursery.start_soon(self._watch, stream)
        return stream

    async def _forward(self, onward: Stream, step: Step, output: torch.Tensor) -> None:
        try:
            with deadline(SESSION_SILENCE_SECONDS, "the next hop takes nothing in"):
                await send_message(onward, step, output)
        except NetworkError as error:
            raise ChainBroken(str(error), onward.peer_id, error) from error

    async def _watch(self, onward: Stream) -> None:
        """The next hop says nothing on this stream unless it is in trouble."""
        try:
            message, _ = await receive_message(onward)
            complaint = message.message if isinstance(message, Failed) else f"unexpected '{message.type}'"
            raise ProtocolError(complaint)
        except SwarmError as error:
            self._fail(ChainBroken(str(error), onward.peer_id, error))

    def _fail(self, error: SwarmError) -> None:
        if self._failure is None:
            self._failure = failed(error)
        self._scope.cancel()


def failed(error: SwarmError) -> Failed:
    """``error`` as it is told to a peer."""
    culprit = error.peer_id if isinstance(error, ChainBroken) else None
    return Failed(code=code_of(error), message=str(error)[:1024], peer_id=culprit)


async def _report(stream: Stream, error: SwarmError) -> None:
    await end_stream(stream, failed(error))
