"""The sessions a node serves: who is admitted, who waits, and what ends them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from dht import Peer, Stream
from routing import Span
from routing.errors import CacheFull, ProtocolError, StreamClosed, SwarmError, WrongModel
from swarm_node.engine import Engine
from swarm_node.node.counts import SessionCounts
from swarm_node.node.demand import Demand
from swarm_node.node.line import Line, Place
from swarm_node.node.promises import Promises
from swarm_node.node.reception import Reception, Served
from swarm_node.node.session import HostedSession
from swarm_node.settings import OPEN_SECONDS
from swarm_node.tasks import deadline
from swarm_node.wire import Attach, Beginning, Open, Opened, Wait, end_stream, failed, receive_message, send_message

log = logging.getLogger(__name__)


class SessionHost:
    """All sessions of one node, those that wait for its cache included.

    Owned by the node's task; ``serve_session`` and ``serve_hop`` are its stream handlers and run one task per stream.
    A session holds an engine reservation, and ends when its client's stream does. ``changed`` is called whenever a
    session has come, gone, or begun or ceased to wait.
    """

    def __init__(
        self,
        peer: Peer,
        engine: Engine,
        served: Served,
        demand: Demand,
        promises: Promises,
        changed: Callable[[], None],
        share_prefixes: bool,
        counts: SessionCounts | None = None,
    ) -> None:
        """``share_prefixes``: a session may go on from what another client's session has left here.

        What comes of sessions is added to ``counts``, which may go on from an earlier host's.
        """
        self._peer = peer
        self._engine = engine
        self._reception = Reception(served, promises)
        self._line = Line(engine)
        self._demand = demand
        self._tell = changed
        self._change = trio.Event()
        self._share_prefixes = share_prefixes
        self._counts = counts or SessionCounts()
        self._sessions: dict[bytes, HostedSession] = {}
        self._idle = trio.Event()
        self._idle.set()
        self._draining = False

    @property
    def waiting(self) -> int:
        """Sessions that wait for cache."""
        return self._line.waiting

    @property
    def free_tokens(self) -> int:
        """Block-tokens that a new session may have: what is free and not kept for those that wait."""
        return self._line.free_tokens

    @property
    def backlog_tokens(self) -> int:
        """Block-tokens that have come, of prompts mostly, and are yet to be computed."""
        return sum(session.backlog_tokens for session in self._sessions.values())

    def serve_span(self, span: Span | None) -> None:
        """Let new sessions use the blocks of ``span`` only, none if it is None; those that run go on.

        Who waits for other blocks is sent away. To be called, too, after the engine was given more or less cache.
        """
        self._reception.span = span
        self._line.turn_away(self._elsewhere(), but=span)
        self._line.freed()
        self._changed()

    async def change(self) -> None:
        """Return when ``changed`` is called the next time."""
        self._change = trio.Event()
        await self._change.wait()

    async def drain(self) -> None:
        """Admit no more sessions, send away those that wait, and return when the last has ended."""
        self._draining = True
        self._line.turn_away(_leaving())
        await self._idle.wait()

    async def serve_session(self, stream: Stream) -> None:
        """Speak SESSION_PROTOCOL with a client. A bad frame ends this stream only."""
        try:
            message = await self._reception.welcome(stream)
            match message:
                case Wait():
                    await self._line_up(message, stream)
                case Open():
                    await self._serve(self._admit(message, stream), stream)
        except SwarmError as error:
            log.info("session stream of %s ended: %s", stream.peer_id, error)
            if not isinstance(error, StreamClosed):
                self._counts.refuse(error)
                await end_stream(stream, failed(error))
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
                await end_stream(stream, failed(error))
        except Exception:
            log.exception("a defect ended a hop stream of %s; the node serves on", stream.peer_id)

    async def _line_up(self, asking: Wait, stream: Stream) -> None:
        """Wait with the client; serve the session that it opens when it is its turn."""
        session: HostedSession | None = None
        place = self._line.join(asking.max_tokens, self._usable(asking), asking.since)
        try:
            self._changed()
            opening = await self._line.wait(place, stream)
            if opening is not None:
                session = self._admit(opening, stream, place)
        finally:
            self._line.leave(place)
            self._changed()
        if session is not None:
            await self._serve(session, stream)

    def _usable(self, asking: Open | Wait) -> Span:
        """The blocks asked for, if new sessions may use them here."""
        served = self._reception.served
        if asking.model != served.fingerprint:
            raise WrongModel(f"this node serves {served.name} ({served.fingerprint}), not {asking.model}")
        if asking.end <= asking.start:
            raise ProtocolError(f"blocks {asking.start}:{asking.end} hold no block")
        span = Span(asking.start, asking.end)
        if self._reception.span is None or not self._reception.span.covers(span):
            raise self._elsewhere()
        if self._draining:
            raise _leaving()
        return span

    def _admit(self, opening: Open, stream: Stream, place: Place | None = None) -> HostedSession:
        span = self._usable(opening)
        if opening.session in self._sessions:
            raise ProtocolError("a session of this id is running")
        beginning = Beginning("" if self._share_prefixes else stream.peer_id, opening.prefix_keys)
        reservation = self._line.reserve(opening.max_tokens, span, beginning, place)
        self._demand.opened(len(span))
        hidden_size = self._reception.served.hidden_size
        session = HostedSession(
            self._peer, self._engine, hidden_size, opening, reservation, stream, self._freed, self._sessions.get
        )
        if not self._sessions:
            self._idle = trio.Event()
        self._sessions[opening.session] = session
        return session

    async def _serve(self, session: HostedSession, stream: Stream) -> None:
        self._changed()
        try:
            held = session.reservation.held_tokens
            await send_message(stream, Opened(backlog_tokens=self.backlog_tokens, held_tokens=held))
            await session.run()
        finally:
            del self._sessions[session.opening.session]
            if not self._sessions:
                self._idle.set()
            self._counts.served += 1
            self._counts.failovers += session.lost_hop
            self._demand.ended(session.prompt_tokens, session.new_tokens)
            session.reservation.release(session.last_keys)
            with trio.CancelScope(shield=True):  # the engine, too, is not stopped in the middle of a batch
                await session.reservation.freed()
            self._freed()

    def _changed(self) -> None:
        self._change.set()
        self._tell()

    def _freed(self) -> None:
        """Some cache is free again."""
        self._line.freed()
        self._changed()

    def _elsewhere(self) -> CacheFull:
        """Its record may still say otherwise: it is not broken, only of no use for these blocks any more."""
        span = self._reception.span
        return CacheFull(f"this node serves {f'blocks {span} only' if span else 'no blocks at the moment'}", 0)


def _leaving() -> CacheFull:
    return CacheFull("this node is leaving and takes no more sessions", 0)
