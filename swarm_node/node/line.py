"""Who may use this node's cache: sessions that ask for it now, and those that wait in line until it is their turn."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import trio

from dht import Stream
from routing.errors import CacheFull, ProtocolError, SwarmError
from routing.line import WaitingLine
from routing.span import Span
from swarm_node.engine import Engine, Reservation
from swarm_node.node.settings import LINE_LENGTH, SESSION_SILENCE_SECONDS
from swarm_node.settings import CLOSE_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire import Beginning, Close, Open, Ping, Pong, Queued, Room, receive_message, send_message


@dataclass(eq=False, slots=True)
class Ticket:
    """A place in line for a session on the blocks of ``span``; whoever joined leaves it."""

    span: Span
    need: int
    """Block-tokens."""
    ahead: int
    """How many were before it when it came."""
    offered: trio.Event = field(default_factory=trio.Event)
    failure: SwarmError | None = None
    """Why it waits no more."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def fail(self, error: SwarmError) -> None:
        """End the wait with ``error``."""
        if self.failure is None:
            self.failure = error
        self.scope.cancel()


class WaitingRoom:
    """One node's waiting line, wired to the engine whose cache it waits for; the engine alone gives cache away.

    Owned by the session host. It has no task of its own: each ticket's stream tells when its offer has lapsed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._line: WaitingLine[Ticket] = WaitingLine()
        self._tickets: set[Ticket] = set()
        # Unix time that does not jump when somebody sets the clock.
        self._epoch = time.time() - trio.current_time()

    @property
    def waiting(self) -> int:
        """Sessions in line."""
        return len(self._line)

    @property
    def free_tokens(self) -> int:
        """Block-tokens that a session which has not waited may have."""
        return self._line.free_for_newcomers(self._engine.free_tokens)

    def reserve(self, max_tokens: int, span: Span, beginning: Beginning, ticket: Ticket | None = None) -> Reservation:
        """Cache for a session whose turn it is, with what is kept of its beginning; its ticket, if any, is used up.

        Raises CacheFull if there is no room for it, or none that is not set aside for others.
        """
        need = max_tokens * len(span)
        if not self._line.may_enter(ticket, need, self._engine.free_tokens):
            raise CacheFull(
                f"{self.free_tokens} block-tokens are free for sessions that have not waited and this one needs "
                f"{need}; {self.waiting} sessions wait",
                self.free_tokens,
            )
        try:
            # What was set aside for others must not go into what it borrows.
            reservation = self._engine.reserve(max_tokens, span, beginning, max(need, self.free_tokens))
        except CacheFull as full:
            raise CacheFull(str(full), self.free_tokens) from None
        if ticket is not None:
            self.leave(ticket)
        return reservation

    def freed(self) -> None:
        """A session's cache is free again, or there is more of it: see whose turn it is."""
        self._line.freed()
        for ticket in self._tickets:
            if ticket.need > self._engine.capacity_tokens:
                ticket.fail(_too_large(ticket.need, self._engine.capacity_tokens))
        self._offer()

    def join(self, max_tokens: int, span: Span, since: float) -> Ticket:
        """Stand in line for a session that has waited ``since`` (unix seconds), until ``leave``.

        Raises CacheFull if the line is too long, or if the session could never fit.
        """
        need = max_tokens * len(span)
        if need > self._engine.capacity_tokens:
            raise _too_large(need, self._engine.capacity_tokens)
        if len(self._line) >= LINE_LENGTH:
            raise CacheFull(f"{len(self._line)} sessions wait here already", 0)
        ticket = Ticket(span, need, 0)
        ticket.ahead = self._line.join(ticket, since, need, self._now())
        self._tickets.add(ticket)
        self._offer()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Wait no longer; what was set aside goes to the next. Nothing happens if it has left."""
        self._line.leave(ticket)
        self._tickets.discard(ticket)
        self._offer()

    def turn_away(self, error: SwarmError, but: Span | None = None) -> None:
        """End the wait of all who need other blocks than those of ``but`` with ``error``."""
        for ticket in self._tickets:
            if but is None or not but.covers(ticket.span):
                ticket.fail(error)

    async def wait(self, ticket: Ticket, stream: Stream) -> Open | None:
        """Speak with the client in line until it opens its session, which is returned, or closes.

        Raises StreamClosed if it vanishes, PeerSilent, ProtocolError, and what the ticket was made to fail with.
        """
        opening: Open | None = None
        with deadline(SESSION_SILENCE_SECONDS, "the client reads nothing"):
            await send_message(stream, Queued(ahead=ticket.ahead))
        with ticket.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell, ticket, stream)
                try:
                    opening = await _listen(stream)
                except SwarmError as error:
                    ticket.fail(error)
                nursery.cancel_scope.cancel()
        if ticket.failure is not None:
            raise ticket.failure
        return opening

    async def _tell(self, ticket: Ticket, stream: Stream) -> None:
        """Say each time that room was set aside, and see to it that somebody else gets it when the offer lapses."""
        while True:
            await ticket.offered.wait()
            ticket.offered = trio.Event()
            try:
                # A frame that was begun must be finished: the client goes on reading when it opens its session.
                with trio.CancelScope(shield=True), deadline(CLOSE_SECONDS, "the client reads nothing"):
                    await send_message(stream, Room())
            except SwarmError as error:
                ticket.fail(error)
                return
            until = self._line.offered_until(ticket)
            while until is not None and self._line.offered_until(ticket) == until:
                await trio.sleep(max(0.0, until - self._now()))
                self._offer()

    def _offer(self) -> None:
        for ticket in self._line.offers(self._engine.free_tokens, self._now()):
            ticket.offered.set()

    def _now(self) -> float:
        return self._epoch + trio.current_time()


async def _listen(stream: Stream) -> Open | None:
    while True:
        with deadline(SESSION_SILENCE_SECONDS, "the client fell silent"):
            message, _ = await receive_message(stream)
        match message:
            case Ping():
                with deadline(SESSION_SILENCE_SECONDS, "the client reads nothing"):
                    await send_message(stream, Pong(steps=0))
            case Open():
                return message
            case Close():
                return None
            case _:
                raise ProtocolError(f"'{message.type}' in line")


def _too_large(need: int, capacity: int) -> CacheFull:
    return CacheFull(f"the session needs {need} block-tokens and this node never has more than {capacity}", 0)
