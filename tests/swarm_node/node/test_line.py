"""A full node, as those who ask it see it."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
import trio

from routing import Span
from routing.errors import StreamClosed
from swarm_node.compute.span import BlockSpan
from swarm_node.settings import DECODE_TOKENS_MAX
from swarm_node.testing import LocalNetwork, ask, hear, say
from swarm_node.wire.frames import send_message
from swarm_node.wire.messages import Close, Failed, Opened, Ping, Pong, Queued, Room, Step
from tests.swarm_node.tiny_swarm import BLOCKS, TOKENS, hidden_states, in_swarm, opening, waiting_since
from tests.swarm_node.watched import Watched, gate_shut

NEED = TOKENS * BLOCKS


def test_sessions_in_line_are_served_in_the_order_in_which_they_came(blocks: BlockSpan) -> None:
    async def main(net: LocalNetwork) -> None:
        node = await net.node("a", blocks, sessions=1)
        running, answer = await ask(net, "a", opening(0))
        assert answer == Opened()
        now = time.time()
        lines = []
        for number in range(3):
            stream, answer = await ask(net, "a", waiting_since(now + number / 1000))
            assert answer == Queued(ahead=number)
            lines.append(stream)
        assert node.host.waiting == 3
        for number, stream in enumerate(lines, 1):
            await send_message(running, Close())
            assert await hear(stream) == Room()
            assert await say(stream, opening(number)) == Opened()
            assert node.host.waiting == 3 - number
            assert node.engine.free_tokens == 0
            running = stream

    in_swarm(main)


def test_who_has_waited_longer_elsewhere_is_served_first(blocks: BlockSpan) -> None:
    async def main(net: LocalNetwork) -> None:
        await net.node("a", blocks, sessions=1)
        running, _ = await ask(net, "a", opening(0))
        now = time.time()
        late, _ = await ask(net, "a", waiting_since(now - 1))
        early, answer = await ask(net, "a", waiting_since(now - 9))
        assert answer == Queued(ahead=0)
        await send_message(running, Close())
        assert await hear(early) == Room()
        assert await say(late, Ping()) == Pong(steps=0)

    in_swarm(main)


def test_a_newcomer_cannot_overtake_those_in_line(blocks: BlockSpan) -> None:
    async def main(net: LocalNetwork) -> None:
        node = await net.node("a", blocks, sessions=2)
        running, _ = await ask(net, "a", opening(0))
        large, _ = await ask(net, "a", waiting_since(time.time(), 2 * TOKENS))
        assert node.engine.free_tokens == NEED
        assert node.host.free_tokens == 0
        _, answer = await ask(net, "a", opening(1))
        assert isinstance(answer, Failed) and answer.code == "cache-full" and answer.free_tokens == 0
        await send_message(running, Close())
        assert await hear(large) == Room()
        _, answer = await ask(net, "a", opening(2, 1))
        assert isinstance(answer, Failed) and answer.free_tokens == 0, "the room is set aside"
        assert await say(large, opening(3, 2 * TOKENS)) == Opened()

    in_swarm(main)


@pytest.mark.parametrize("farewell", [Close(), None], ids=["leaves", "vanishes"])
def test_room_set_aside_for_a_client_that_goes_is_the_next_ones_at_once(
    blocks: BlockSpan, farewell: Close | None
) -> None:
    async def main(net: LocalNetwork) -> None:
        await net.node("a", blocks, sessions=1)
        running, _ = await ask(net, "a", opening(0))
        first, _ = await ask(net, "a", waiting_since(time.time()))
        second, _ = await ask(net, "a", waiting_since(time.time()))
        await send_message(running, Close())
        assert await hear(first) == Room()
        if farewell is not None:
            await send_message(first, farewell)
        else:
            first.close()
        with trio.fail_after(0.9):  # sooner than the offer would lapse
            assert await hear(second) == Room()

    in_swarm(main)


def test_a_client_that_falls_silent_loses_its_place(blocks: BlockSpan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm_node.node.line.SESSION_SILENCE_SECONDS", 0.05)

    async def main(net: LocalNetwork) -> None:
        node = await net.node("a", blocks, sessions=1)
        _running, _ = await ask(net, "a", opening(0))
        silent, _ = await ask(net, "a", waiting_since(time.time()))
        answer = await hear(silent)
        assert isinstance(answer, Failed) and "says or reads nothing" in answer.message
        await net.until(lambda: node.host.waiting == 0)

    in_swarm(main)


def test_a_client_that_reads_nothing_loses_its_place(blocks: BlockSpan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm_node.node.line.SESSION_SILENCE_SECONDS", 0.2)

    async def main(net: LocalNetwork) -> None:
        node = await net.node("a", blocks, sessions=1)
        _running, _ = await ask(net, "a", opening(0))
        deaf, _ = await ask(net, "a", waiting_since(time.time()))
        with suppress(StreamClosed):
            while True:  # until the answers fill the way back, and for so long as the node waits for the client to read
                await send_message(deaf, Ping())
        await net.until(lambda: node.host.waiting == 0)

    in_swarm(main)


def test_an_offer_that_is_not_taken_goes_to_the_next_and_comes_again(
    blocks: BlockSpan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing.node.line.OFFER_SECONDS", 0.05)

    async def main(net: LocalNetwork) -> None:
        await net.node("a", blocks, sessions=1)
        running, _ = await ask(net, "a", opening(0))
        hesitant, _ = await ask(net, "a", waiting_since(time.time()))
        ready, _ = await ask(net, "a", waiting_since(time.time()))
        await send_message(running, Close())
        assert await hear(hesitant) == Room()
        assert await hear(ready) == Room()
        assert await say(ready, opening(1)) == Opened()
        await send_message(ready, Close())
        assert await hear(hesitant) == Room()
        assert await say(hesitant, opening(2)) == Opened()

    in_swarm(main)


def test_room_is_offered_only_when_the_batch_that_uses_it_has_ended(watched: Watched) -> None:
    async def main(net: LocalNetwork) -> None:
        node = await net.node("a", watched, sessions=1)
        running, _ = await ask(net, "a", opening(0))
        line, _ = await ask(net, "a", waiting_since(time.time()))
        async with gate_shut(watched):
            step = Step(number=0, position=0, tokens=4, keep=1, dtype="float32")
            await send_message(running, step, hidden_states(0))
            await watched.has_entered()
            running.close()
            assert await say(line, Ping()) == Pong(steps=0)
            assert node.engine.free_tokens == 0
        assert await hear(line) == Room()
        assert await say(line, opening(1)) == Opened()

    in_swarm(main)


def test_a_leaving_node_sends_those_in_line_away_at_once(blocks: BlockSpan) -> None:
    async def main(net: LocalNetwork) -> None:
        node = await net.node("a", blocks, sessions=1)
        async with trio.open_nursery() as nursery:
            running, _ = await ask(net, "a", opening(0))
            line, _ = await ask(net, "a", waiting_since(time.time()))
            nursery.start_soon(node.host.drain)
            answer = await hear(line)
            assert isinstance(answer, Failed) and "leaving" in answer.message
            _, answer = await ask(net, "a", waiting_since(time.time()))
            assert isinstance(answer, Failed) and answer.code == "cache-full"
            assert await say(running, Ping()) == Pong(steps=0)
            await send_message(running, Close())

    in_swarm(main)


def test_a_node_that_serves_other_blocks_sends_away_who_waits_for_the_old_ones(blocks: BlockSpan) -> None:
    async def main(net: LocalNetwork) -> None:
        node = await net.node("a", blocks, sessions=1)
        running, _ = await ask(net, "a", opening(0))
        gone, _ = await ask(net, "a", waiting_since(time.time()))
        kept, _ = await ask(net, "a", waiting_since(time.time(), span=Span(0, 2)))
        node.host.serve_span(Span(0, 2))
        answer = await hear(gone)
        assert isinstance(answer, Failed) and answer.code == "cache-full" and answer.free_tokens == 0
        _, answer = await ask(net, "a", opening(1, 1))
        assert isinstance(answer, Failed) and "0:2" in answer.message
        await send_message(running, Close())
        assert await hear(kept) == Room()
        node.host.serve_span(None)
        assert isinstance(await hear(kept), Failed)

    in_swarm(main)


def test_a_session_that_could_never_fit_is_not_let_into_the_line(blocks: BlockSpan) -> None:
    async def main(net: LocalNetwork) -> None:
        node = await net.node("a", blocks, sessions=1)
        _, answer = await ask(net, "a", waiting_since(time.time(), TOKENS + 1))
        assert isinstance(answer, Failed) and "never" in answer.message
        assert node.host.waiting == 0

    in_swarm(main)


def test_a_line_has_an_end(blocks: BlockSpan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm_node.node.line.LINE_LENGTH", 1)

    async def main(net: LocalNetwork) -> None:
        await net.node("a", blocks, sessions=1)
        _running, _ = await ask(net, "a", opening(0))
        _line, answer = await ask(net, "a", waiting_since(time.time()))
        assert answer == Queued(ahead=0)
        _, answer = await ask(net, "a", waiting_since(time.time()))
        assert isinstance(answer, Failed) and answer.code == "cache-full"

    in_swarm(main)


def test_a_node_counts_the_jobs_that_come_and_how_long_they_are(blocks: BlockSpan) -> None:
    async def main(net: LocalNetwork) -> None:
        node = await net.node("a", blocks, sessions=4)
        tokens = DECODE_TOKENS_MAX + 1
        stream, _ = await ask(net, "a", opening(0, 2 * TOKENS, Span(0, 2)))
        assert node.demand.job_rate > 0
        for number, (position, count) in enumerate([(0, tokens), (tokens, 1), (tokens + 1, 2)]):
            step = Step(number=number, position=position, tokens=count, keep=0, dtype="float32")
            await send_message(stream, step, hidden_states(0)[:1].expand(count, -1))
        pong = await say(stream, Ping())
        while pong != Pong(steps=3):
            pong = await say(stream, Ping())
        await send_message(stream, Close())
        await net.until(lambda: node.demand.new_tokens > 0)
        assert (node.demand.prompt_tokens, node.demand.new_tokens) == pytest.approx((tokens, 3))

    in_swarm(main)
