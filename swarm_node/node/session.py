"""One session on a node: its steps in order, each sent on as soon as it is done, and what ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import torch
import trio

from dht import Peer, Stream
from routing.errors import ChainBroken, NetworkError, ProtocolError, StreamClosed, SwarmError
from swarm_node.engine import Engine, Outcome, Reservation
from swarm_node.node.settings import SESSION_SILENCE_SECONDS
from swarm_node.settings import CONNECT_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire import (
    HOP_PROTOCOL,
    Attach,
    Close,
    Failed,
    NextHop,
    Open,
    Ping,
    Pong,
    Result,
    ResultBeside,
    Step,
    StepBeside,
    end_stream,
    failed,
    is_decode,
    receive_message,
    send_message,
)


class _Share(NamedTuple):
    """What a frame brings for one session."""

    session: HostedSession
    step: Step | StepBeside
    hidden: torch.Tensor
    """[tokens, hidden size]; also of what comes out."""

    @property
    def result(self) -> torch.Tensor:
        return self.hidden[self.step.tokens - self.step.keep :]


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
        self._queue_in, self._queue_out = trio.open_memory_channel[tuple[Step, list[_Share]]](float("inf"))
        self._queued_tokens = 0
        """That have come for this session, on whatever stream, and are yet to be computed."""
        self._over = False
        self._steps_done = 0
        self._closed = False
        """The client has said that it has ended."""
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
            self._over = True
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
        if self._closed:
            # Else the previous hop, which the client tells a moment later, would take this for a death.
            await end_stream(stream, Close())

    async def _listen(self) -> None:
        """Obey the client's control stream until it closes or breaks."""
        try:
            with deadline(SESSION_SILENCE_SECONDS, "the client says or reads nothing") as again:
                while True:
                    message, hidden = await receive_message(self._stream, self._hidden_size, self.opening.max_tokens)
                    again()
                    match message:
                        case Ping():
                            await send_message(self._stream, Pong(steps=self._steps_done))
                        case Step() if self.opening.previous is None:
                            assert hidden is not None
                            self._enqueue(message, hidden)
                        case Close():
                            self._closed, self.last_keys = True, message.prefix_keys
                            return
                        case _:
                            raise ProtocolError(f"'{message.type}' in a running session")
        except StreamClosed:
            return
        except SwarmError as error:
            self._fail(error)

    def _enqueue(self, step: Step, hidden: torch.Tensor) -> None:
        if self._over:
            return
        shares = self._shares(step, hidden) if step.beside else [_Share(self, step, hidden)]
        for share in shares:
            share.session._check(share.step)
        for share in shares:
            share.session._queued_tokens += share.step.tokens
        self._queue_in.send_nowait((step, shares))

    def _shares(self, step: Step, hidden: torch.Tensor) -> list[_Share]:
        """What a frame brings for this session, and for those beside that have not just ended here."""
        own, *parts = hidden.split([step.tokens, *(other.tokens for other in step.beside)])
        shares = [_Share(self, step, own)]
        for other, part in zip(step.beside, parts, strict=True):
            session = self._find(other.session)
            if session is not None:
                shares.append(_Share(session, other, part))
        if any(share.session._way != self._way for share in shares):
            raise ProtocolError("a step came beside that of a session with other hops")
        if len({share.session for share in shares}) < len(shares):
            raise ProtocolError("a session has two steps in one frame")
        return shares

    def _check(self, step: Step | StepBeside) -> None:
        if step.keep > step.tokens:
            raise ProtocolError(f"a step of {step.tokens} tokens cannot keep {step.keep}")
        if self._queued_tokens + step.tokens > 2 * self.opening.max_tokens:
            raise ProtocolError("more tokens are waiting than the session may ever hold")

    async def _work(self, nursery: trio.Nursery) -> None:
        """Run the steps in order and send each on as soon as it is done."""
        onward: Stream | None = None
        try:
            async for step, shares in self._queue_out:
                try:
                    outcomes = await self._engine.steps(
                        [(share.session.reservation, share.hidden, share.step.position) for share in shares]
                    )
                finally:
                    _count_out(shares)
                done = [
                    _Share(share.session, share.step, outcome)
                    for share, outcome in zip(shares, outcomes, strict=True)
                    if share.session._settle(share.step, outcome) and isinstance(outcome, torch.Tensor)
                ]
                if isinstance(outcomes[0], SwarmError):
                    return
                if self.opening.next is not None:
                    # Opened only now: the client sends its first step when all hops have admitted the session.
                    onward = onward or await self._attach(self.opening.next, nursery)
                    await self._forward(onward, step, done)
                elif any(share.step.keep for share in done):
                    await send_message(self._stream, *_result(step, done))
                for share in done:
                    share.session._steps_done = share.step.number + 1
        except SwarmError as error:
            self._fail(error)
        finally:
            if onward is not None:
                await end_stream(onward, Close())

    def _settle(self, step: Step | StepBeside, outcome: Outcome) -> bool:
        """Note what the engine made of a step; whether it is done."""
        if self.reservation.charged < self._charged:
            self._charged = self.reservation.charged
            self._freed()
        if isinstance(outcome, SwarmError):
            self._fail(outcome)
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

    async def _forward(self, onward: Stream, step: Step, done: Sequence[_Share]) -> None:
        """Where the next hop takes nothing in, the client's patience with this step ends the wait, or its silence."""
        if len(done) <= len(step.beside):
            step = step.model_copy(
                update={"beside": [share.step for share in done if isinstance(share.step, StepBeside)]}
            )
        try:
            await send_message(onward, step, _together([share.hidden for share in done]))
        except NetworkError as error:
            raise ChainBroken(str(error), onward.peer_id, error) from error

    async def _watch(self, onward: Stream) -> None:
        """The next hop says nothing on this stream unless it is in trouble, or has heard that the session has ended."""
        try:
            message, _ = await receive_message(onward)
            if isinstance(message, Close):
                return
            complaint = message.message if isinstance(message, Failed) else f"unexpected '{message.type}'"
            raise ProtocolError(complaint)
        except SwarmError as error:
            self._fail(ChainBroken(str(error), onward.peer_id, error))

    def _fail(self, error: SwarmError) -> None:
        if self._failure is None:
            self._failure = failed(error)
        self._scope.cancel()


def _result(step: Step, done: Sequence[_Share]) -> tuple[Result, torch.Tensor]:
    """What the client is sent for a frame whose own step was ``step``."""
    kept = [share for share in done if share.step.keep]
    beside = [
        ResultBeside(session=share.step.session, number=share.step.number, tokens=share.step.keep)
        for share in kept
        if isinstance(share.step, StepBeside)
    ]
    result = Result(number=step.number, tokens=step.keep, dtype=step.dtype, beside=beside)
    return result, _together([share.result for share in kept])


def _count_out(shares: Sequence[_Share]) -> None:
    """They do not wait any more."""
    for share in shares:
        share.session._queued_tokens -= share.step.tokens


def _together(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]
