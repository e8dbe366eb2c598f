"""A client's stream to one node, as a node that misbehaves or refuses sees it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from dht import Stream
from routing.errors import CacheFull, ProtocolError, SwarmError
from swarm_node.client.hop import HopState, HopStream
from swarm_node.client.round_trips import RoundTrips
from swarm_node.testing import LocalNetwork
from swarm_node.wire.frames import receive_message, send_message
from swarm_node.wire.messages import SESSION_PROTOCOL, Failed, Message, Open, Opened, Ping, Pong, Queued, Room, Wait
from tests.routing.nodes import node
from tests.swarm_node.tiny_swarm import in_swarm, opening, waiting_since

Answer = Callable[[Stream, Message], Awaitable[None]]
REFUSAL = Failed(code="cache-full", message="full again", free_tokens=7)


def at_node(answer: Answer, main: Callable[[HopStream, HopStream, LocalNetwork], Awaitable[None]]) -> None:
    """Run ``main`` with a stream to be opened at once and one in line, both to a node that answers so to each frame."""

    async def swarm(net: LocalNetwork) -> None:
        async def serve(stream: Stream) -> None:
            while True:
                message, _ = await receive_message(stream)
                await (send_message(stream, Pong(steps=0)) if message == Ping() else answer(stream, message))

        await net.nursery.start(net.peer("odd").serve, SESSION_PROTOCOL, serve)
        peer: Any = net.peer("client")
        view, trips = node("odd", 0, 4), RoundTrips()
        line = HopStream(peer, view, trips, waiting_since(time.time()))
        await main(HopStream(peer, view, trips), line, net)

    in_swarm(swarm)


async def offer(stream: Stream, message: Message) -> None:
    """As a node with room does."""
    if isinstance(message, Wait):
        await send_message(stream, Queued(ahead=2))
        await send_message(stream, Room())


def test_a_place_in_line_becomes_the_session() -> None:
    async def answer(stream: Stream, message: Message) -> None:
        await offer(stream, message)
        if isinstance(message, Open):
            await send_message(stream, Opened(held_tokens=3))

    async def main(_: HopStream, line: HopStream, net: LocalNetwork) -> None:
        assert line.standing and not line.room
        net.nursery.start_soon(line.stand, net.tell)
        await net.until(lambda: line.state is HopState.OFFERED)
        assert (line.ahead, line.need, line.room) == (2, 16 * 4, True)
        await line.open(opening(1))
        assert line.state is HopState.OPEN and line.opened == Opened(held_tokens=3)
        assert line.failure is None and not line.standing

    at_node(answer, main)


def test_who_is_not_offered_room_cannot_open() -> None:
    async def answer(stream: Stream, message: Message) -> None:
        if isinstance(message, Wait):
            await send_message(stream, Queued(ahead=0))

    async def main(_: HopStream, line: HopStream, net: LocalNetwork) -> None:
        net.nursery.start_soon(line.stand, net.tell)
        await net.until(lambda: line.state is HopState.QUEUED)
        with pytest.raises(SwarmError, match="is not in line"):
            await line.open(opening(1))
        assert line.state is HopState.QUEUED, "it waits on"
        line.leave()
        assert line.state is HopState.LEFT

    at_node(answer, main)


def test_a_node_that_opens_unasked_is_left() -> None:
    async def answer(stream: Stream, message: Message) -> None:
        await send_message(stream, Queued(ahead=0))
        await send_message(stream, Opened())

    async def main(_: HopStream, line: HopStream, net: LocalNetwork) -> None:
        net.nursery.start_soon(line.stand, net.tell)
        await net.until(lambda: line.state is HopState.LEFT)
        assert isinstance(line.failure, ProtocolError)

    at_node(answer, main)


def test_a_refused_claim_says_what_the_node_said_and_uses_the_place_up() -> None:
    async def answer(stream: Stream, message: Message) -> None:
        await offer(stream, message)
        if isinstance(message, Open):
            await send_message(stream, REFUSAL)

    async def main(_: HopStream, line: HopStream, net: LocalNetwork) -> None:
        net.nursery.start_soon(line.stand, net.tell)
        await net.until(lambda: line.state is HopState.OFFERED)
        with pytest.raises(CacheFull, match="full again"):
            await line.open(opening(1))
        assert line.state is HopState.ENDED and isinstance(line.failure, CacheFull)

    at_node(answer, main)


def test_a_claim_that_is_given_up_is_not_the_nodes_fault() -> None:
    async def main(_: HopStream, line: HopStream, net: LocalNetwork) -> None:
        ended = trio.Event()

        async def stand() -> None:
            await line.stand(net.tell)
            ended.set()

        net.nursery.start_soon(stand)
        await net.until(lambda: line.state is HopState.OFFERED)
        with trio.move_on_after(0.05):
            await line.open(opening(1))
        await ended.wait()
        assert line.state is HopState.ENDED and line.failure is None

    at_node(offer, main)


def test_a_hop_that_refuses_at_once_has_ended() -> None:
    async def answer(stream: Stream, message: Message) -> None:
        await send_message(stream, REFUSAL)

    async def main(hop: HopStream, _: HopStream, net: LocalNetwork) -> None:
        with pytest.raises(CacheFull) as refusal:
            await hop.open(opening(1))
        assert hop.state is HopState.ENDED and refusal.value.free_tokens == 7

    at_node(answer, main)
