"""Sessions through a swarm that begin with the same tokens."""

from __future__ import annotations

import time

import pytest
import torch
import trio
import trio.testing

from routing import Span
from swarm_node.client.client import SwarmClient
from swarm_node.testing import LocalNetwork, LocalNode, ask, hear, run_step, say
from swarm_node.wire.frames import send_message
from swarm_node.wire.messages import Close, Failed, NextHop, Opened, Ping, Pong, Queued, Room, Step
from swarm_node.wire.prefix import more_keys
from tests.swarm_node.tiny_swarm import TOKENS, in_swarm, opening, waiting_since
from tests.swarm_node.watched import ALL, Start, alone, assert_close, random_hidden

FIRST = random_hidden(200)
SECOND = torch.cat([FIRST, random_hidden(30, seed=1)])
SESSIONS = 1000 // TOKENS
"""Room for 1,000 tokens."""


async def converse(client: SwarmClient, hidden: torch.Tensor, keep: int = 1) -> torch.Tensor:
    """What a session of its own answers to ``hidden``; it has ended then."""
    session = client.open_session(300)
    output = await run_step(session, hidden, 0, keep)
    await session.close()
    return output


async def both_turns(net: LocalNetwork, client: SwarmClient, *nodes: LocalNode) -> torch.Tensor:
    """The second turn of a conversation, in a session of its own."""
    await converse(client, FIRST)
    for node in nodes:
        await net.until(lambda node=node: node.engine.running == 0)
    return await converse(client, SECOND, keep=5)


def test_the_second_turn_of_a_chat_sends_only_what_is_new(start: Start) -> None:
    front, back, whole = start("front", Span(0, 2)), start("back", Span(2, 4)), start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        nodes = [await net.node("front", front, SESSIONS), await net.node("back", back, SESSIONS)]
        output = await both_turns(net, net.client("alice"), *nodes)
        assert_close(output, alone(whole._blocks, SECOND)[-5:])
        for watched in (front, back):
            assert sum(map(sum, watched.batches)) == 200 + 230 - 192

    in_swarm(main)


def test_hops_that_hold_less_are_sent_more_and_all_agree(start: Start) -> None:
    front, back, whole = start("front", Span(0, 2)), start("back", Span(2, 4)), start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        client = net.client("alice")
        first = await net.node("front", front, SESSIONS)
        gone = await net.node("gone", start("gone", Span(2, 4)), SESSIONS)
        await converse(client, FIRST)
        await net.until(lambda: first.engine.running == gone.engine.running == 0)
        gone.die()
        await net.node("back", back, SESSIONS)
        assert_close(await converse(client, SECOND), alone(whole._blocks, SECOND)[-1:])
        assert sum(map(sum, back.batches)) == 230

    in_swarm(main)


def test_the_answers_own_tokens_are_reused_too(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        node = await net.node("whole", whole, SESSIONS)
        client = net.client("alice")
        session = client.open_session(300)
        await run_step(session, SECOND[:120], 0, 1)
        for position in range(120, 130):
            await run_step(session, SECOND[position : position + 1], position, 1)
        await session.close()
        await net.until(lambda: node.engine.running == 0)
        whole.batches.clear()
        assert_close(await converse(client, SECOND), alone(whole._blocks, SECOND)[-1:])
        assert whole.batches == [[230 - 128]]

    in_swarm(main)


def test_tokens_whose_output_is_wanted_are_computed_again(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        node = await net.node("whole", whole, SESSIONS)
        client = net.client("alice")
        await converse(client, FIRST[:128])
        await net.until(lambda: node.engine.running == 0)
        expected = alone(whole._blocks, FIRST[:128])
        whole.batches.clear()
        assert_close(await converse(client, FIRST[:128], keep=128), expected)
        assert_close(await converse(client, FIRST[:128]), expected[-1:])
        assert sum(map(sum, whole.batches)) == 128 + 1

    in_swarm(main)


def test_a_session_that_was_rolled_back_leaves_what_it_held_in_the_end(start: Start) -> None:
    whole = start("whole", ALL)
    other = torch.cat([FIRST[:100], random_hidden(100, seed=2)])

    async def main(net: LocalNetwork) -> None:
        node = await net.node("whole", whole, SESSIONS)
        client = net.client("alice")
        session = client.open_session(300)
        await run_step(session, FIRST, 0, 1)
        await run_step(session, other[100:], 100, 1)
        await session.close()
        await net.until(lambda: node.engine.running == 0)
        whole.batches.clear()
        for hidden in (other, FIRST):
            assert_close(await converse(client, hidden), alone(whole._blocks, hidden)[-1:])
        assert [sum(batch) for batch in whole.batches] == [8, 8]

    in_swarm(main)


@pytest.mark.parametrize(("shares", "computed"), [(False, 230), (True, 230 - 192)])
def test_another_client_gets_nothing_unless_the_operator_says_so(start: Start, shares: bool, computed: int) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        node = await net.node("whole", whole, SESSIONS, share_prefixes=shares)
        await converse(net.client("alice"), FIRST)
        await net.until(lambda: node.engine.running == 0)
        whole.batches.clear()
        assert_close(await converse(net.client("bob"), SECOND), alone(whole._blocks, SECOND)[-1:])
        assert sum(map(sum, whole.batches)) == computed

    in_swarm(main)


def test_a_stranger_who_names_anothers_beginning_is_told_nothing_of_it(start: Start) -> None:
    async def main(net: LocalNetwork) -> None:
        node = await net.node("whole", start("whole", ALL), SESSIONS)
        await converse(net.client("alice"), FIRST)
        await net.until(lambda: node.engine.running == 0)
        named = opening(1, 300).model_copy(update={"prefix_keys": more_keys(b"", FIRST)})
        _stream, answer = await ask(net, "whole", named, client="mallory")
        assert answer == Opened()
        _stream, answer = await ask(net, "whole", named.model_copy(update={"session": bytes(16)}), client="alice")
        assert answer == Opened(held_tokens=192)

    in_swarm(main)


def test_a_hop_that_hears_of_the_end_after_the_next_one_does_not_take_that_for_a_death(start: Start) -> None:
    async def main(net: LocalNetwork) -> None:
        front = await net.node("front", start("front", Span(0, 2)), SESSIONS)
        back = await net.node("back", start("back", Span(2, 4)), SESSIONS)
        first = opening(1, 300, Span(0, 2)).model_copy(update={"next": NextHop(peer_id="back", addresses=[])})
        last = opening(1, 300, Span(2, 4)).model_copy(update={"previous": "front"})
        (to_front, _), (to_back, _) = await ask(net, "front", first), await ask(net, "back", last)
        await send_message(to_front, Step(number=0, position=0, tokens=200, keep=0, dtype="float32"), FIRST)
        while await say(to_back, Ping()) != Pong(steps=1):
            await trio.sleep(0.01)
        await send_message(to_back, Close(prefix_keys=more_keys(b"", FIRST)))
        await net.until(lambda: back.engine.running == 0)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert await say(to_front, Ping()) == Pong(steps=1)
        await send_message(to_front, Close(prefix_keys=more_keys(b"", FIRST)))
        await net.until(lambda: front.engine.running == 0)
        assert front.engine.kept_tokens == back.engine.kept_tokens == 256 * 2

    in_swarm(main)


def test_keys_that_are_cut_short_are_refused(start: Start) -> None:
    async def main(net: LocalNetwork) -> None:
        await net.node("whole", start("whole", ALL), SESSIONS)
        named = opening(1, 300).model_copy(update={"prefix_keys": b"short"})
        _stream, answer = await ask(net, "whole", named)
        assert isinstance(answer, Failed) and "a key has 16 bytes" in answer.message

    in_swarm(main)


def test_a_session_in_line_may_go_on_where_the_one_before_it_ended(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        node = await net.node("whole", whole, 300 // TOKENS + 1)
        client = net.client("alice")
        first = client.open_session(300)
        await run_step(first, FIRST, 0, 1)
        async with trio.open_nursery() as nursery:

            async def second() -> None:
                assert_close(await converse(client, SECOND), alone(whole._blocks, SECOND)[-1:])

            nursery.start_soon(second)
            await net.until(lambda: node.host.waiting == 1)
            whole.batches.clear()
            await first.close()
        assert whole.batches == [[230 - 192]]

    in_swarm(main)


def test_room_that_a_session_holds_only_while_it_borrows_is_offered_to_those_in_line(start: Start) -> None:
    async def main(net: LocalNetwork) -> None:
        node = await net.node("whole", start("whole", ALL), 300 // TOKENS + 1)
        client = net.client("alice")
        await converse(client, FIRST)
        await net.until(lambda: node.engine.running == 0)
        named = opening(1, 70).model_copy(update={"prefix_keys": more_keys(b"", FIRST[:70])})
        borrowing, answer = await ask(net, "whole", named, client="alice")
        assert answer == Opened(held_tokens=64)
        assert node.engine.free_tokens == (304 - 256) * 4
        line, answer = await ask(net, "whole", waiting_since(time.time(), 200), client="bob")
        assert answer == Queued(ahead=0)
        step = Step(number=0, position=64, tokens=6, keep=1, dtype="float32")
        await send_message(borrowing, step, FIRST[64:70])
        assert await hear(line) == Room()

    in_swarm(main)
