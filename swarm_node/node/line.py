"""Who may use this node's cache: sessions that ask for it now, and those that wait in line until it is their turn."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import trio

from dht import Stream
from routing.errors import CacheFull, ProtocolError, SwarmError
from routing.node.line import WaitingLine
from routing.span import Span
from swarm_node.engine import Engine, Reservation
from swarm_node.node.conversation import listen
from swarm_node.node.settings import LINE_LENGTH, SESSION_SILENCE_SECONDS
from swarm_node.settings import CLOSE_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire import Beginning, Close, Open, Queued, Room, send_message


@dataclass(eq=False, slots=True)
class Place:
    """One in line, for a session on the blocks of ``span``; whoever joined leaves it."""

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


class Line:
    """One node's waiting line, wired to the engine whose cache it waits for; the engine alone gives cache away.

    Owned by the session host. It has no task of its own: each place's stream tells when its offer has lapsed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._order: WaitingLine[Place] = WaitingLine()
        self._places: set[Place] = set()
        # Unix time that does not jump when somebody sets the clock.
        self._epoch = time.time() - trio.current_time()

    @property
    def waiting(self) -> int:
        """Sessions in line."""
        return len(self._order)

    @property
    def free_tokens(self) -> int:
        """Block-tokens that a session which has not waited may have."""
        return self._order.free_for_newcomers(self._engine.free_tokens)

    def reserve(self, max_tokens: int, span: Span, beginning: Beginning, place: Place | None = None) -> Reservation:
        """Cache for a session whose turn it is, with what is kept of its beginning; its place, if any, is used up.

        Raises CacheFull if there is no room for it, or none that is not set aside for others.
        """
        need = self._engine.session_tokens(max_tokens, span)
        if not self._order.may_enter(place, need, self._engine.free_tokens):
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
        if place is not None:
            self.leave(place)
        return reservation

    def freed(self) -> None:
        """A session's cache is free again, or there is more of it: see whose turn it is."""
        self._order.freed()
        for place in self._places:
            if place.need > self._engine.capacity_tokens:
                place.fail(_too_large(place.need, self._engine.capacity_tokens))
        self._offer()

    def join(self, max_tokens: int, span: Span, since: float) -> Place:
        """Stand in line for a session that has waited ``since`` (unix seconds), until ``leave``.

        Raises CacheFull if the line is too long, or if the session could never fit.
        """
        need = self._engine.session_tokens(max_tokens, span)
        if need > self._engine.capacity_tokens:
            raise _too_large(need, self._engine.capacity_tokens)
        if len(self._order) >= LINE_LENGTH:
            raise CacheFull(f"{len(self._order)} sessions wait here already", 0)
        place = Place(span, need, 0)
        place.ahead = self._order.join(place, since, need, self._now())
        self._places.add(place)
        self._offer()
        return place

    def leave(self, place: Place) -> None:
        """Wait no longer; what was set aside goes to the next. Nothing happens if it has left."""
        self._order.leave(place)
        self._places.discard(place)
        self._offer()

    def turn_away(self, error: SwarmError, but: Span | None = None) -> None:
        """End the wait of all who need other blocks than those of ``but`` with ``error``."""
        for place in self._places:
            if but is None or not but.covers(place.span):
                place.fail(error)

    async def wait(self, place: Place, stream: Stream) -> Open | None:
        """Speak with the client in line until it opens its session, which is returned, or closes.

        Raises StreamClosed if it vanishes, PeerSilent, ProtocolError, and what the place was made to fail with.
        """
        opening: Open | None = None
        with deadline(SESSION_SILENCE_SECONDS, "the client reads nothing"):
            await send_message(stream, Queued(ahead=place.ahead))
        with place.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell, place, stream)
                try:
                    opening = await _opening(stream)
                except SwarmError as error:
                    place.fail(error)
                nursery.cancel_scope.cancel()
        if place.failure is not None:
            raise place.failure
        return opening

    async def _tell(self, place: Place, stream: Stream) -> None:
        """Say each time that room was set aside, and see to it that somebody else gets it when the offer lapses."""
        while True:
            await place.offered.wait()
            place.offered = trio.Event()
            try:
                # A frame that was begun must be finished: the client goes on reading when it opens its session.
                with trio.CancelScope(shield=True), deadline(CLOSE_SECONDS, "the client reads nothing"):
                    await send_message(stream, Room())
            except SwarmError as error:
                place.fail(error)
                return
            until = self._order.offered_until(place)
            while until is not None and self._order.offered_until(place) == until:
                await trio.sleep(max(0.0, until - self._now()))
                self._offer()

    def _offer(self) -> None:
        for place in self._order.offers(self._engine.free_tokens, self._now()):
            place.offered.set()

    def _now(self) -> float:
        return self._epoch + trio.current_time()


async def _opening(stream: Stream) -> Open | None:
    message = await listen(stream, SESSION_SILENCE_SECONDS, "the client says or reads nothing")
    match message:
        case Open():
            return message
        case Close():
            return None
    raise ProtocolError(f"'{message.type}' in line")


def _too_large(need: int, capacity: int) -> CacheFull:
    return CacheFull(f"the session needs {need} block-tokens and this node never has more than {capacity}", 0)
