"""The swarm in one process, as somebody meets it who tests a client or a node of their own."""

from __future__ import annotations

import time

import pytest
import torch
import trio

from dht import Stream
from routing import NodeState, NodeView, Span
from routing.errors import PeerUnreachable, ProtocolError, StreamClosed
from swarm_node.testing import LocalNetwork, LocalNode, LocalPeer, ask, run_step, say
from swarm_node.wire import SESSION_PROTOCOL, Opened, Ping, Pong, Result, Step, receive_message, send_message
from tests.swarm_node.tiny_swarm import MODEL, TOKENS, in_swarm, opening
from tests.swarm_node.watched import ALL, WIDTH, Start, alone, assert_close, random_hidden


def view_of(peer: LocalPeer, span: Span = ALL) -> NodeView:
    return NodeView(
        peer_id=peer.peer_id, addresses=(), state=NodeState.ONLINE, span=span, memory_bytes=0, block_bytes=1,
        token_bytes=1, cache_tokens=100, free_tokens=100, prefill_seconds=0.0, decode_seconds=0.0,
        expires_at=time.time() + 1.0,
    )  # fmt: skip


def test_a_client_of_ones_own_speaks_with_a_real_node(start: Start) -> None:
    whole, hidden = start("whole", ALL), random_hidden(3)

    async def main(swarm: LocalNetwork) -> None:
        await swarm.node("node", whole, sessions=1)
        stream, answer = await ask(swarm, "node", opening(1))
        assert answer == Opened()
        await send_message(stream, Step(number=0, position=0, tokens=3, keep=1, dtype="float32"), hidden)
        _, output = await receive_message(stream, WIDTH)
        assert_close(output, alone(whole._blocks, hidden)[-1:])

    in_swarm(main)


def test_a_node_of_ones_own_serves_real_clients_once_it_has_announced_itself() -> None:
    doubled: list[torch.Tensor] = []

    async def serve(stream: Stream) -> None:
        """A node whose blocks double what comes."""
        await receive_message(stream)
        await send_message(stream, Opened())
        while True:
            message, hidden = await receive_message(stream, WIDTH)
            if isinstance(message, Ping):
                await send_message(stream, Pong(steps=0))
            elif isinstance(message, Step) and hidden is not None:
                kept = hidden[len(hidden) - message.keep :]
                await send_message(stream, Result(number=message.number, tokens=len(kept), dtype="float32"), 2 * kept)

    async def main(swarm: LocalNetwork) -> None:
        peer = swarm.peer("own")
        await swarm.nursery.start(peer.serve, SESSION_PROTOCOL, serve)
        await peer.directory(MODEL).announce(view_of(peer), expires_in=5.0)
        session = swarm.client("alice").open_session(TOKENS)
        doubled.append(await run_step(session, random_hidden(4), 0, 2))
        await session.close()
        await peer.withdraw()
        assert swarm.snapshot().nodes == ()

    in_swarm(main)
    assert torch.equal(doubled[0], 2 * random_hidden(4)[-2:])


def test_a_node_that_dies_is_gone_for_everybody(start: Start) -> None:
    async def main(swarm: LocalNetwork) -> None:
        node: LocalNode = await swarm.node("node", start("node", ALL), sessions=1)
        stream, _ = await ask(swarm, "node", opening(1))
        node.die()
        with pytest.raises(StreamClosed):
            await say(stream, Ping())
        await swarm.until(lambda: swarm.snapshot().nodes == ())
        with pytest.raises(PeerUnreachable):
            await ask(swarm, "node", opening(2))

    in_swarm(main)


def test_an_error_of_the_protocol_ends_its_own_stream_only() -> None:
    async def serve(stream: Stream) -> None:
        raise ProtocolError("a node of one's own has refused")

    async def main(swarm: LocalNetwork) -> None:
        await swarm.nursery.start(swarm.peer("own").serve, SESSION_PROTOCOL, serve)
        for _ in range(2):
            with pytest.raises(StreamClosed):
                await ask(swarm, "own", Ping())

    in_swarm(main)


def test_whatever_main_leaves_running_ends_with_it(start: Start) -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("task")

    async def main(swarm: LocalNetwork) -> None:
        await swarm.node("node", start("node", ALL), sessions=1)
        swarm.nursery.start_soon(forever)
        await ask(swarm, "node", opening(1))  # a stream that nobody closes

    in_swarm(main)
    assert ended == ["task"]


def test_a_test_that_hangs_is_ended() -> None:
    async def main(_swarm: LocalNetwork) -> None:
        await trio.sleep_forever()

    with pytest.raises(trio.TooSlowError):
        in_swarm(main, seconds=0.05)
