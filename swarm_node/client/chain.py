"""An open chain: one stream to every hop, steps in at the first, results out of the last."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import trio

from dht import Peer, short_name
from routing import Hop, SessionShape
from routing.errors import ChainBroken, NetworkError, PeerSilent, ProtocolError, SwarmError
from swarm_node.client.hop import HopState, HopStream
from swarm_node.client.round_trips import RoundTrips
from swarm_node.client.settings import BLAME_SECONDS, PEER_SILENCE_SECONDS, STEP_PATIENCE, STEP_SECONDS
from swarm_node.client.step import SessionStep, StepState
from swarm_node.settings import CLOSE_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire import (
    Close,
    Failed,
    ModelCard,
    NextHop,
    Open,
    Pong,
    Result,
    Step,
    StepBeside,
    WireDtype,
    dtype_name,
    error_of,
    receive_message,
    send_message,
)

if TYPE_CHECKING:
    import torch


class Chain:
    """A session's way through the swarm, for as long as every hop of it lives.

    ``run`` is the task that owns the streams: start it in a nursery; it reports started when all hops have reserved
    cache, and ends when ``abandon`` is called or a hop fails. It never raises after that: ``step`` does.
    """

    def __init__(
        self,
        peer: Peer,
        card: ModelCard,
        hops: Sequence[Hop],
        shape: SessionShape,
        round_trips: RoundTrips,
        places: Mapping[str, HopStream],
        wire: WireDtype | None = None,
    ) -> None:
        """``places``: the session's places in line by peer id; they are used up at those hops where it has one.

        ``wire``: the number format in which hidden states travel, None: their own.
        """
        self.hops = tuple(hops)
        self.way = tuple((hop.node.peer_id, hop.span) for hop in hops)
        """Chains that have it in common may share frames."""
        self._card = card
        self._shape = shape
        self._round_trips = round_trips
        self._wire = wire
        self._session = secrets.token_bytes(16)
        self._streams = [places.get(hop.node.peer_id) or HopStream(peer, hop.node, round_trips) for hop in hops]
        self._last_word = Close()
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._failure: ChainBroken | None = None
        self._next_number = 0
        self._awaited: SessionStep | None = None
        self._beside: dict[bytes, SessionStep] = {}
        """By session, the decodes of others that went in the frame of this chain's step."""

    @property
    def backlogs(self) -> dict[str, int]:
        """Block-tokens of prompts that hops had yet to compute when they were opened, by peer id."""
        return {stream.node.peer_id: stream.opened.backlog_tokens for stream in self._streams}

    @property
    def held_tokens(self) -> int:
        """Tokens at the session's beginning that every hop has already: the first step may begin behind them."""
        return min(stream.opened.held_tokens for stream in self._streams)

    @property
    def broken(self) -> bool:
        """Whether a hop has failed."""
        return self._failure is not None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open every hop, then keep the chain until it is abandoned or breaks.

        Raises ChainBroken before it has started if a hop is unreachable or refuses.
        """
        started = False
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for stream, opening in zip(self._streams, self._openings(), strict=True):
                        nursery.start_soon(self._open, stream, opening)
                # A hop that fails as the last one to answer leaves nothing running for the cancellation to stop.
                await trio.lowlevel.checkpoint_if_cancelled()
                async with trio.open_nursery() as nursery:
                    for stream in self._streams:
                        nursery.start_soon(self._listen, stream)
                        nursery.start_soon(self._beat, stream)
                    started = True
                    task_status.started()
        finally:
            await self._close_streams()
            self._ended.set()
            for step in (self._awaited, *self._beside.values()):
                if step is not None:
                    step.lose()
        if self._failure is not None and not started:
            raise self._failure

    async def step(self, step: SessionStep) -> None:
        """Send the step round the chain, and wait until it is DONE.

        A long prompt goes in several frames, so that a hop works on one while the next hop works on the one before.
        Raises ChainBroken when a hop dies, refuses or is late.
        """
        if self._ended.is_set():
            raise self._failure or ChainBroken("the session was closed")
        frames = step.frames()
        self._expect(step, len(frames))
        allowed = self._patience(len(step.hidden))
        with trio.move_on_after(allowed) as scope:
            offset = 0
            for number, (tokens, kept) in enumerate(frames, step.first):
                await self._send(number, step.position + offset, step.hidden[offset : offset + tokens], kept)
                offset += tokens
            await step.over.wait()
        if scope.cancelled_caught:
            self._fail_late(step.last, allowed)
        if self._failure is not None or step.state is not StepState.DONE:
            await self._ended.wait()
            raise self._failure or ChainBroken("the session was closed")

    async def share_step(self, steps: Mapping[Chain, SessionStep]) -> None:
        """Send decodes of chains that go the same way, the first this one's, in one frame, and wait for them.

        One that is not DONE then has come to nothing: its own chain must be asked, which is broken or is well. Never
        raises ChainBroken.
        """
        import torch

        if any(chain._ended.is_set() for chain in steps):
            return
        for chain, step in steps.items():
            chain._expect(step, 1)
        own = steps[self]
        self._beside = {chain._session: step for chain, step in steps.items() if step is not own}
        beside = [
            StepBeside(
                session=session, number=step.first, position=step.position, tokens=len(step.hidden), keep=step.keep
            )
            for session, step in self._beside.items()
        ]
        hidden = torch.cat([step.hidden for step in steps.values()])
        allowed = self._patience(len(hidden))
        with trio.move_on_after(allowed):
            await self._send(own.first, own.position, hidden, own.keep, beside)
            for step in steps.values():
                if not step.over.is_set():
                    await step.over.wait()
        self._beside = {}
        for chain, step in steps.items():
            if not step.over.is_set():
                chain._fail_late(step.last, allowed)

    def abandon(self, prefix_keys: bytes = b"") -> None:
        """Let the session end at every hop, which may keep what the keys name; ``run`` closes the streams."""
        self._last_word = Close(prefix_keys=prefix_keys)
        self._scope.cancel()

    async def ended(self) -> None:
        """Wait until every stream is closed."""
        await self._ended.wait()

    def _openings(self) -> list[Open]:
        """What to ask of each hop: it is told which hop comes before it and which after."""
        peer_ids = [None, *(hop.node.peer_id for hop in self.hops)]
        following = [NextHop(peer_id=hop.node.peer_id, addresses=list(hop.node.addresses)) for hop in self.hops[1:]]
        return [
            Open(
                session=self._session,
                model=self._card.fingerprint,
                start=hop.span.start,
                end=hop.span.end,
                max_tokens=self._shape.max_tokens,
                previous=previous,
                next=after,
                prefix_keys=self._shape.prefix_keys,
            )
            for hop, previous, after in zip(self.hops, peer_ids, [*following, None], strict=False)
        ]

    async def _open(self, stream: HopStream, opening: Open) -> None:
        try:
            await stream.open(opening)
        except SwarmError as error:
            self._fail(stream.node.peer_id, error)

    async def _listen(self, stream: HopStream) -> None:
        try:
            with deadline(PEER_SILENCE_SECONDS, "silent") as again:
                while True:
                    message, hidden = await receive_message(stream.live, self._card.hidden_size)
                    again()
                    match message:
                        case Pong():
                            stream.pong(message)
                        case Result() if stream is self._streams[-1]:
                            assert hidden is not None
                            self._take(message, hidden)
                        case Failed():
                            await self._weigh(stream, message)
                            return
                        case _:
                            raise ProtocolError(f"unexpected '{message.type}'")
        except SwarmError as error:
            self._fail(stream.node.peer_id, error)

    async def _weigh(self, stream: HopStream, message: Failed) -> None:
        """Blame the hop that reports a failure. A hop that says its successor is dead is believed if that one's own
        stream ends too; if it lives on, the link between the two is broken, and another way must avoid one of them.
        """
        if message.peer_id is not None:
            await trio.sleep(BLAME_SECONDS)  # the successor's listener blames it meanwhile if it is dead
        self._fail(stream.node.peer_id, error_of(message))

    async def _beat(self, stream: HopStream) -> None:
        try:
            await stream.beat()
        except SwarmError as error:
            self._fail(stream.node.peer_id, error)

    def _expect(self, step: SessionStep, frames: int) -> None:
        step.send(self._next_number, frames)
        self._next_number += frames
        self._awaited = step

    async def _send(
        self, number: int, position: int, hidden: torch.Tensor, keep: int, beside: Sequence[StepBeside] = ()
    ) -> None:
        """``hidden``, [tokens, hidden]: of this session, then of those beside."""
        wire = self._wire or dtype_name(hidden.dtype)
        tokens = len(hidden) - sum(other.tokens for other in beside)
        step = Step(number=number, position=position, tokens=tokens, keep=keep, dtype=wire, beside=list(beside))
        first = self._streams[0]
        try:
            await send_message(first.live, step, hidden)
        except NetworkError as error:
            self._fail(first.node.peer_id, error)

    def _take(self, result: Result, hidden: torch.Tensor) -> None:
        own, *parts = [hidden]
        if result.beside:
            own, *parts = hidden.split([result.tokens, *(other.tokens for other in result.beside)])
        if self._awaited is not None:
            self._awaited.take(result.number, own)
        for other, part in zip(result.beside, parts, strict=True):
            if other.session in self._beside:
                self._beside[other.session].take(other.number, part)

    def _patience(self, tokens: int) -> float:
        """How long a step may take: many times what the hops say of themselves, since others use them too."""
        expected = sum(
            len(hop.span) * (hop.node.decode_seconds + tokens * hop.node.prefill_seconds)
            + self._round_trips.to(hop.node)
            for hop in self.hops
        )
        return STEP_SECONDS + STEP_PATIENCE * expected

    def _fail_late(self, number: int, allowed: float) -> None:
        """Blame the first hop that has not done the step."""
        stuck = next((stream for stream in self._streams if stream.steps_done <= number), self._streams[-1])
        self._fail(stuck.node.peer_id, PeerSilent(f"no result within {allowed:.0f} s"))

    def _fail(self, peer_id: str, reason: SwarmError) -> None:
        if self._failure is None:
            self._failure = ChainBroken(f"node {short_name(peer_id)}: {reason}", peer_id, reason)
        self._scope.cancel()

    async def _close_streams(self) -> None:
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            async with trio.open_nursery() as nursery:
                for stream in self._streams:
                    if stream.state is HopState.OPEN:
                        nursery.start_soon(stream.end, self._last_word)
