"""One session on a node: its steps in order, each sent on as soon as it is done, and what ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum, auto

import torch
import trio

from dht import Peer, Stream
from routing.errors import ChainBroken, NetworkError, ProtocolError, StreamClosed, SwarmError
from swarm_node.engine import Engine, Reservation
from swarm_node.node.conversation import listen
from swarm_node.node.settings import SESSION_SILENCE_SECONDS
from swarm_node.node.step import FramedStep, onward, result
from swarm_node.settings import CONNECT_SECONDS
from swarm_node.wire import (
    HOP_PROTOCOL,
    Attach,
    Close,
    Failed,
    Message,
    NextHop,
    Open,
    Step,
    StepBeside,
    end_stream,
    failed,
    is_decode,
    receive_message,
    send_message,
)


class _State(Enum):
    """Of a session."""

    OPEN = auto()
    CLOSED = auto()
    """The client has said that it has ended."""
    BROKEN = auto()
    """It has ended in another way."""


class HostedSession:
    """One session on this node, from its admission to the end of its client's stream.

    What comes on its streams may bring decodes of other sessions too, of the same client and with the same hops. They
    run as if each had come on its own, and what comes of them goes on in one frame as well.
    """

    def __init__(
        self,
        peer: Peer,
        engine: Engine,
        hidden_size: int,
        opening: Open,
        reservation: Reservation,
        stream: Stream,
        freed: Callable[[], None],
        find: Callable[[bytes], HostedSession | None],
    ) -> None:
        """``freed`` is called if the session holds less room once its first step is through.

        ``find`` returns the session of an id, if there is one here.
        """
        self.opening = opening
        self.reservation = reservation
        self._find = find
        self._way = (stream.peer_id, opening.start, opening.end, opening.previous, opening.next)
        """What sessions whose steps come in one frame have in common."""
        self._charged = reservation.charged
        self._peer = peer
        self._engine = engine
        self._hidden_size = hidden_size
        self._stream = stream
        self._freed = freed
        self._scope = trio.CancelScope()
        self._attached: trio.CancelScope | None = None
        self._failure: Failed | None = None
        self._queue_in, self._queue_out = trio.open_memory_channel[tuple[Step, list[FramedStep[HostedSession]]]](
            float("inf")
        )
        self._queued_tokens = 0
        """That have come for this session, on whatever stream, and are yet to be computed."""
        self._state = _State.OPEN
        self._steps_done = 0
        self.last_keys = b""
        """Of what the client says that the session holds in the end."""
        self.prompt_tokens = 0
        """Tokens that came in long steps; those that were sent again count again."""
        self.new_tokens = 0
        """Tokens that came one by one or a few at a time."""

    @property
    def backlog_tokens(self) -> int:
        """Block-tokens of prompts and decodes that wait."""
        return self._queued_tokens * len(self.reservation.span)

    @property
    def lost_hop(self) -> bool:
        """Whether the next node on the chain has ended it."""
        return self._failure is not None and self._failure.peer_id is not None

    async def run(self) -> None:
        """Serve until the client closes; raises nothing the client has not been told."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._work, nursery)
                    await self._listen()
                    nursery.cancel_scope.cancel()
                    # At once, for the client's next session: to close the stream to the next hop takes a while.
                    self.reservation.release(self.last_keys)
        finally:
            if self._state is _State.OPEN:
                self._state = _State.BROKEN
            with suppress(trio.WouldBlock):
                while True:
                    _count_out(self._queue_out.receive_nowait()[1])
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
        if self._state is _State.CLOSED:
            # Else the previous hop, which the client tells a moment later, would take this for a death.
            await end_stream(stream, Close())

    async def _listen(self) -> None:
        """Obey the client's control stream until it closes or breaks."""
        try:
            await listen(
                self._stream,
                SESSION_SILENCE_SECONDS,
                "the client says or reads nothing",
                self._obey,
                steps=lambda: self._steps_done,
                hidden_size=self._hidden_size,
                max_tokens=self.opening.max_tokens,
            )
        except StreamClosed:
            return
        except SwarmError as error:
            self._fail(error)

    def _obey(self, message: Message, hidden: torch.Tensor | None) -> bool:
        """Whether ``message`` is the client's last."""
        match message:
            case Step() if self.opening.previous is None:
                assert hidden is not None
                self._enqueue(message, hidden)
            case Close():
                self._state, self.last_keys = _State.CLOSED, message.prefix_keys
                return True
            case _:
                raise ProtocolError(f"'{message.type}' in a running session")
        return False

    def _enqueue(self, frame: Step, hidden: torch.Tensor) -> None:
        if self._state is not _State.OPEN:
            return
        steps = self._unpacked(frame, hidden) if frame.beside else [self._step(frame, hidden)]
        for step in steps:
            step.session._check(step)
        for step in steps:
            step.session._queued_tokens += step.tokens
        self._queue_in.send_nowait((frame, steps))

    def _step(self, message: Step | StepBeside, hidden: torch.Tensor) -> FramedStep[HostedSession]:
        return FramedStep(self.reservation, hidden, message.position, session=self, message=message)

    def _unpacked(self, frame: Step, hidden: torch.Tensor) -> list[FramedStep[HostedSession]]:
        """What a frame brings for this session, and for those beside that have not just ended here."""
        own, *parts = hidden.split([frame.tokens, *(other.tokens for other in frame.beside)])
        steps = [self._step(frame, own)]
        for other, part in zip(frame.beside, parts, strict=True):
            session = self._find(other.session)
            if session is not None:
                steps.append(session._step(other, part))
        if any(step.session._way != self._way for step in steps):
            raise ProtocolError("a step came beside that of a session with other hops")
        if len({step.session for step in steps}) < len(steps):
            raise ProtocolError("a session has two steps in one frame")
        return steps

    def _check(self, step: FramedStep[HostedSession]) -> None:
        if step.message.keep > step.tokens:
            raise ProtocolError(f"a step of {step.tokens} tokens cannot keep {step.message.keep}")
        if self._queued_tokens + step.tokens > 2 * self.opening.max_tokens:
            raise ProtocolError("more tokens are waiting than the session may ever hold")

    async def _work(self, nursery: trio.Nursery) -> None:
        """Run the steps in order and send each on as soon as it is done."""
        next_hop: Stream | None = None
        try:
            async for frame, steps in self._queue_out:
                try:
                    await self._engine.run(steps)
                finally:
                    _count_out(steps)
                done = [step for step in steps if step.session._settle(step)]
                if isinstance(steps[0].outcome, SwarmError):
                    return
                if self.opening.next is not None:
                    # Opened only now: the client sends its first step when all hops have admitted the session.
                    next_hop = next_hop or await self._attach(self.opening.next, nursery)
                    await self._forward(next_hop, frame, done)
                elif any(step.message.keep for step in done):
                    await send_message(self._stream, *result(frame, done))
                for step in done:
                    step.session._steps_done = step.message.number + 1
        except SwarmError as error:
            self._fail(error)
        finally:
            if next_hop is not None:
                await end_stream(next_hop, Close())

    def _settle(self, step: FramedStep[HostedSession]) -> bool:
        """Note what the engine made of ``step``; whether it came out."""
        if self.reservation.charged < self._charged:
            self._charged = self.reservation.charged
            self._freed()
        if isinstance(step.outcome, SwarmError):
            self._fail(step.outcome)
            return False
        if is_decode(step.tokens):
            self.new_tokens += step.tokens
        else:
            self.prompt_tokens += step.tokens
        return True

    async def _attach(self, after: NextHop, nursery: trio.Nursery) -> Stream:
        try:
            stream = await self._peer.open_stream(after.peer_id, tuple(after.addresses), HOP_PROTOCOL, CONNECT_SECONDS)
            await send_message(stream, Attach(session=self.opening.session))
        except NetworkError as error:
            raise ChainBroken(str(error), after.peer_id, error) from error
        nursery.start_soon(self._watch, stream)
        return stream

    async def _forward(self, stream: Stream, frame: Step, done: Sequence[FramedStep[HostedSession]]) -> None:
        """Where the next hop takes nothing in, the client's patience with this step ends the wait, or its silence."""
        try:
            await send_message(stream, *onward(frame, done))
        except NetworkError as error:
            raise ChainBroken(str(error), stream.peer_id, error) from error

    async def _watch(self, stream: Stream) -> None:
        """The next hop says nothing on this stream unless it is in trouble, or has heard that the session has ended."""
        try:
            message, _ = await receive_message(stream)
            if isinstance(message, Close):
                return
            complaint = message.message if isinstance(message, Failed) else f"unexpected '{message.type}'"
            raise ProtocolError(complaint)
        except SwarmError as error:
            self._fail(ChainBroken(str(error), stream.peer_id, error))

    def _fail(self, error: SwarmError) -> None:
        if self._failure is None:
            self._failure = failed(error)
        self._scope.cancel()


def _count_out(steps: Sequence[FramedStep[HostedSession]]) -> None:
    """They do not wait any more."""
    for step in steps:
        step.session._queued_tokens -= step.tokens
