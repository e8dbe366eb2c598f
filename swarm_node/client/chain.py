"""An open chain: one stream to every hop, steps in at the first, results out of the last."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import trio

from dht import Peer, Stream
from routing import Hop, SessionShape
from routing.errors import ChainBroken, NetworkError, PeerSilent, ProtocolError, SwarmError
from swarm_node.client.opening import open_hop, openings
from swarm_node.client.round_trips import RoundTrips
from swarm_node.client.settings import (
    BLAME_SECONDS,
    HEARTBEAT_SECONDS,
    PEER_SILENCE_SECONDS,
    PREFILL_STEP_TOKENS,
    STEP_PATIENCE,
    STEP_SECONDS,
)
from swarm_node.client.ticket import Ticket
from swarm_node.settings import CLOSE_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire import (
    Close,
    Failed,
    Open,
    Ping,
    Pong,
    Result,
    Step,
    StepBeside,
    WireDtype,
    dtype_name,
    end_stream,
    error_of,
    receive_message,
    send_message,
)


@dataclass(slots=True, eq=False)
class _OpenHop:
    """One hop with the client's stream to it."""

    hop: Hop
    stream: Stream | None = None
    held_tokens: int = 0
    pinged_at: float = 0.0
    steps_done: int = 0

    @property
    def live(self) -> Stream:
        assert self.stream is not None, "used only once the hop is open"
        return self.stream


@dataclass(frozen=True, slots=True)
class Decode:
    """A step of at most DECODE_TOKENS_MAX tokens, [tokens, hidden], which may share a frame with other chains'."""

    chain: Chain
    hidden: torch.Tensor
    position: int
    keep: int


class Chain:
    """A session's way through the swarm, for as long as every hop of it lives.

    ``run`` is the task that owns the streams: start it in a nursery; it reports started when all hops have reserved
    cache, and ends when ``close`` is called or a hop fails. It never raises after that: ``step`` does.
    """

    def __init__(
        self,
        peer: Peer,
        model: str,
        hops: Sequence[Hop],
        shape: SessionShape,
        hidden_size: int,
        round_trips: RoundTrips,
        tickets: Mapping[str, Ticket],
        wire: WireDtype | None = None,
    ) -> None:
        """``tickets``: the session's places in line by peer id; they are used up at those hops where it has one.

        ``wire``: the number format in which hidden states travel, None: their own.
        """
        self.hops = tuple(hops)
        self._shape = shape
        self._peer = peer
        self._model = model
        self._hidden_size = hidden_size
        self._round_trips = round_trips
        self._tickets = tickets
        self._wire = wire
        self._session = secrets.token_bytes(16)
        self.backlogs: dict[str, int] = {}
        """Block-tokens of prompts that hops had yet to compute when they were opened, by peer id."""
        self._open = [_OpenHop(hop) for hop in hops]
        self._last_word = Close()
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._failure: ChainBroken | None = None
        self._next_number = 0
        self._awaited: Awaited | None = None
        self._beside: dict[bytes, Awaited] = {}
        """By session, what is awaited of those whose decodes went in the frame of this chain's step."""
        self.way = tuple((hop.node.peer_id, hop.span) for hop in hops)
        """Chains that have it in common may share frames."""

    @property
    def held_tokens(self) -> int:
        """Tokens at the session's beginning that every hop has already: the first step may begin behind them."""
        return min(opened.held_tokens for opened in self._open)

    @property
    def broken(self) -> bool:
        """Whether a hop has failed."""
        return self._failure is not None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open every hop, then keep the chain until it is closed or breaks.

        Raises ChainBroken before it has started if a hop is unreachable or refuses.
        """
        started = False
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    asked = openings(self.hops, self._session, self._model, self._shape)
                    for opened, opening in zip(self._open, asked, strict=True):
                        nursery.start_soon(self._open_hop, opened, opening)
                # A hop that fails as the last one to answer leaves nothing running for the cancellation to stop.
                await trio.lowlevel.checkpoint_if_cancelled()
                async with trio.open_nursery() as nursery:
                    for opened in self._open:
                        nursery.start_soon(self._listen, opened)
                        nursery.start_soon(self._beat, opened)
                    started = True
                    task_status.started()
        finally:
            await self._close_streams()
            self._ended.set()
            for awaited in (self._awaited, *self._beside.values()):
                if awaited is not None:
                    awaited.arrived.set()
        if self._failure is not None and not started:
            raise self._failure

    async def step(self, hidden: torch.Tensor, position: int, keep: int) -> torch.Tensor:
        """Send hidden states [tokens, hidden] at ``position`` round the chain; returns the last ``keep`` (>= 1).

        A long prompt goes in several frames, so that a hop works on one while the next hop works on the one before.
        Raises ChainBroken when a hop dies, refuses or is late.
        """
        if self._ended.is_set():
            raise self._failure or ChainBroken("the session was closed")
        frames = frames_of(len(hidden), keep)
        awaited = self._expect(len(frames), keep)
        allowed = self._patience(len(hidden))
        with trio.move_on_after(allowed) as scope:
            offset = 0
            for number, (tokens, kept) in enumerate(frames, awaited.first):
                await self._send(number, position + offset, hidden[offset : offset + tokens], kept)
                offset += tokens
            await awaited.arrived.wait()
        if scope.cancelled_caught:
            self._fail_late(awaited.last, allowed)
        if self._failure is not None or not awaited.complete:
            await self._ended.wait()
            raise self._failure or ChainBroken("the session was closed")
        return awaited.joined()

    async def share_step(self, decodes: Sequence[Decode]) -> list[torch.Tensor | None]:
        """Send decodes of chains that go the same way, the first this one's, in one frame; returns what each keeps.

        None for one that has come to nothing: its own chain must be asked, which is broken or is well. Never raises
        ChainBroken.
        """
        if any(decode.chain._ended.is_set() for decode in decodes):
            return [None] * len(decodes)
        expected = [decode.chain._expect(1, decode.keep) for decode in decodes]
        others = list(zip(decodes[1:], expected[1:], strict=True))
        self._beside = {decode.chain._session: awaited for decode, awaited in others}
        beside = [
            StepBeside(
                session=decode.chain._session,
                number=awaited.first,
                position=decode.position,
                tokens=len(decode.hidden),
                keep=decode.keep,
            )
            for decode, awaited in others
        ]
        hidden = torch.cat([decode.hidden for decode in decodes])
        allowed = self._patience(len(hidden))
        with trio.move_on_after(allowed):
            await self._send(expected[0].first, decodes[0].position, hidden, decodes[0].keep, beside)
            for awaited in expected:
                if not awaited.arrived.is_set():
                    await awaited.arrived.wait()
        self._beside = {}
        for decode, awaited in zip(decodes, expected, strict=True):
            if not awaited.arrived.is_set():
                decode.chain._fail_late(awaited.last, allowed)
        return [awaited.joined() if awaited.complete else None for awaited in expected]

    def abandon(self, prefix_keys: bytes = b"") -> None:
        """Let the session end at every hop, which may keep what the keys name; ``run`` closes the streams."""
        self._last_word = Close(prefix_keys=prefix_keys)
        self._scope.cancel()

    async def ended(self) -> None:
        """Wait until every stream is closed."""
        await self._ended.wait()

    async def _open_hop(self, opened: _OpenHop, opening: Open) -> None:
        peer_id = opened.hop.node.peer_id
        ticket = self._tickets.get(peer_id)
        try:
            if ticket is not None:
                opened.stream, answer = await ticket.claim(opening)
            else:
                opened.stream, answer = await open_hop(self._peer, opened.hop, opening, self._round_trips)
            opened.held_tokens = answer.held_tokens
            self.backlogs[peer_id] = answer.backlog_tokens
        except SwarmError as error:
            self._fail(peer_id, error)

    async def _listen(self, opened: _OpenHop) -> None:
        node = opened.hop.node
        try:
            with deadline(PEER_SILENCE_SECONDS, "silent") as again:
                while True:
                    message, hidden = await receive_message(opened.live, self._hidden_size)
                    again()
                    match message:
                        case Pong():
                            opened.steps_done = message.steps
                            self._round_trips.learn(node, trio.current_time() - opened.pinged_at)
                        case Result() if opened is self._open[-1]:
                            assert hidden is not None
                            self._take(message, hidden)
                        case Failed():
                            await self._weigh(opened, message)
                            return
                        case _:
                            raise ProtocolError(f"unexpected '{message.type}'")
        except SwarmError as error:
            self._fail(node.peer_id, error)

    async def _weigh(self, opened: _OpenHop, message: Failed) -> None:
        """Blame the hop that reports a failure. A hop that says its successor is dead is believed if that one's own
        stream ends too; if it lives on, the link between the two is broken, and another way must avoid one of them.
        """
        if message.peer_id is not None:
            await trio.sleep(BLAME_SECONDS)  # the successor's listener blames it meanwhile if it is dead
        self._fail(opened.hop.node.peer_id, error_of(message))

    async def _beat(self, opened: _OpenHop) -> None:
        try:
            while True:
                opened.pinged_at = trio.current_time()
                await send_message(opened.live, Ping())
                await trio.sleep(HEARTBEAT_SECONDS)
        except SwarmError as error:
            self._fail(opened.hop.node.peer_id, error)

    def _expect(self, frames: int, keep: int) -> Awaited:
        self._awaited = Awaited(self._next_number, self._next_number + frames - 1, keep)
        self._next_number += frames
        return self._awaited

    async def _send(
        self, number: int, position: int, hidden: torch.Tensor, keep: int, beside: Sequence[StepBeside] = ()
    ) -> None:
        """``hidden``, [tokens, hidden]: of this session, then of those beside."""
        wire = self._wire or dtype_name(hidden.dtype)
        tokens = len(hidden) - sum(other.tokens for other in beside)
        step = Step(number=number, position=position, tokens=tokens, keep=keep, dtype=wire, beside=list(beside))
        first = self._open[0]
        try:
            await send_message(first.live, step, hidden)
        except NetworkError as error:
            self._fail(first.hop.node.peer_id, error)

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
        stuck = next((opened for opened in self._open if opened.steps_done <= number), self._open[-1])
        self._fail(stuck.hop.node.peer_id, PeerSilent(f"no result within {allowed:.0f} s"))

    def _fail(self, peer_id: str, reason: SwarmError) -> None:
        if self._failure is None:
            self._failure = ChainBroken(f"node {short_id(peer_id)}: {reason}", peer_id, reason)
        self._scope.cancel()

    async def _close_streams(self) -> None:
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            async with trio.open_nursery() as nursery:
                for opened in self._open:
                    if opened.stream is not None:
                        nursery.start_soon(end_stream, opened.stream, self._last_word)


def short_id(peer_id: str) -> str:
    """The end of a peer id: its beginning is the same for every Ed25519 key."""
    return peer_id[-8:]


@dataclass(slots=True)
class Awaited:
    """The step whose results the client is waiting for: frames ``first`` to ``last``, ``keep`` tokens in all."""

    first: int
    last: int
    keep: int
    results: list[torch.Tensor] = field(default_factory=list)
    arrived: trio.Event = field(default_factory=trio.Event)

    @property
    def missing(self) -> int:
        return self.keep - sum(len(part) for part in self.results)

    @property
    def complete(self) -> bool:
        return self.missing == 0

    def take(self, number: int, hidden: torch.Tensor) -> None:
        """Some of the results, unless they answer a step that was given up."""
        if not self.first <= number <= self.last:
            return
        self.results.append(hidden)
        if self.missing < 0:
            raise ProtocolError("returned more tokens than were asked for")
        if self.complete:
            self.arrived.set()

    def joined(self) -> torch.Tensor:
        """All of the results, [keep, hidden]."""
        return torch.cat(self.results) if len(self.results) != 1 else self.results[0]


def frames_of(tokens: int, keep: int) -> list[tuple[int, int]]:
    """Cut a step into frames of (tokens, how many of them to keep)."""
    sizes = [min(PREFILL_STEP_TOKENS, tokens - start) for start in range(0, tokens, PREFILL_STEP_TOKENS)]
    frames: list[tuple[int, int]] = []
    for size in reversed(sizes):
        kept = min(size, keep)
        keep -= kept
        frames.append((size, kept))
    return frames[::-1]
