"""Several sessions of one client that step at once: they share frames, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import trio
import trio.testing

from dht import Stream
from routing import Span
from routing.errors import CacheFull, ProtocolError
from swarm_node.client import together
from swarm_node.client.chain import Chain
from swarm_node.client.client import SwarmClient
from swarm_node.client.session import Session
from swarm_node.client.step import SessionStep
from swarm_node.client.together import step_together
from swarm_node.testing import LocalNetwork, LocalNode, ask, hear, run_step, say
from swarm_node.wire.frames import receive_message, send_message
from swarm_node.wire.messages import Close, Failed, Opened, Ping, Pong, Result, ResultBeside, Step, StepBeside
from tests.swarm_node.tiny_swarm import TOKENS, in_swarm, opening
from tests.swarm_node.watched import ALL, WIDTH, Start, Watched, alone, assert_close, gate_shut, random_hidden

TEXTS = [random_hidden(6 + index, seed=index) for index in range(4)]
"""Hidden states of four sessions: a prompt each, and one token more."""


async def prompted(client: SwarmClient) -> list[Session]:
    """A session for each text, which has taken in all of it but the last token."""
    sessions = [client.open_session(16) for _ in TEXTS]
    await step_together({one: SessionStep(text[:-1], 0, 1) for one, text in zip(sessions, TEXTS, strict=True)})
    return sessions


def same_chains(sessions: Sequence[Session], chains: Sequence[Chain | None]) -> list[bool]:
    return [session.chain is chain for session, chain in zip(sessions, chains, strict=True)]


def last_tokens(sessions: Sequence[Session]) -> dict[Session, SessionStep]:
    return {one: SessionStep(text[-1:], len(text) - 1, 1) for one, text in zip(sessions, TEXTS, strict=True)}


def assert_all_right(outputs: Sequence[torch.Tensor], whole: Watched) -> None:
    for output, text in zip(outputs, TEXTS, strict=True):
        assert_close(output, alone(whole._blocks, text)[-1:])


def test_sessions_on_one_chain_run_as_one_batch_at_every_hop(start: Start) -> None:
    front, back, whole = start("front", Span(0, 2)), start("back", Span(2, 4)), start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        await net.node("front", front, 4)
        await net.node("back", back, 4)
        sessions = await prompted(net.client("alice"))
        front.batches.clear(), back.batches.clear()
        assert_all_right(await step_together(last_tokens(sessions)), whole)
        assert front.batches == back.batches == [[1, 1, 1, 1]]

    in_swarm(main)


def test_sessions_on_different_chains_step_together_too(start: Start) -> None:
    one, other = start("one", ALL), start("other", ALL)

    async def main(net: LocalNetwork) -> None:
        await net.node("one", one, 2)
        await net.node("other", other, 2)
        sessions = await prompted(net.client("alice"))
        one.batches.clear(), other.batches.clear()
        assert_all_right(await step_together(last_tokens(sessions)), one)
        assert one.batches == other.batches == [[1, 1]]

    in_swarm(main)


def test_a_session_that_a_node_has_lost_goes_on_elsewhere_and_the_others_stay(start: Start) -> None:
    one, other = start("one", ALL), start("other", ALL)

    async def main(net: LocalNetwork) -> None:
        node = await net.node("one", one, 4)
        sessions = await prompted(net.client("alice"))
        await net.node("other", other, 1)
        chains = [session.chain for session in sessions]
        lost = node.host._sessions[chains[2]._session]
        lost._fail(ProtocolError("a cosmic ray"))
        await net.until(lambda: node.engine.running == 3)
        assert_all_right(await step_together(last_tokens(sessions)), one)
        assert same_chains(sessions, chains) == [True, True, False, True]

    in_swarm(main)


def test_if_the_session_that_carries_the_frame_ends_the_others_step_on_their_own(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        await net.node("whole", whole, 5)
        client = net.client("alice")
        sessions = await prompted(client)
        chains = [session.chain for session in sessions]
        outputs: list[torch.Tensor] = []

        async def step() -> None:
            outputs.extend(await step_together(last_tokens(sessions)))

        async with gate_shut(whole), trio.open_nursery() as nursery:
            nursery.start_soon(step)
            await whole.has_entered()
            sessions[0].chain.abandon()
            await chains[0].ended()
            whole.gate.set()
        assert_all_right(outputs, whole)
        assert same_chains(sessions, chains) == [False, True, True, True]

    in_swarm(main)


def test_sessions_that_are_all_abandoned_before_their_frame_leaves_take_new_chains(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        await net.node("whole", whole, 8)
        sessions = await prompted(net.client("alice"))
        steps = last_tokens(sessions)
        for session, step in steps.items():
            session.take_in(step)
            session.abandon()
        await together._share(sessions, steps)
        assert_all_right([step.output() for step in steps.values()], whole)

    in_swarm(main)


def test_when_their_node_dies_all_go_on_at_another(start: Start) -> None:
    one, other = start("one", ALL), start("other", ALL)

    async def main(net: LocalNetwork) -> None:
        node = await net.node("one", one, 4)
        notices: list[str] = []
        sessions = await prompted(net.client("alice", notices))
        await net.node("other", other, 4)
        node.die()
        assert_all_right(await step_together(last_tokens(sessions)), other)
        assert sum("taking another way" in notice for notice in notices) == 1

    in_swarm(main)


async def two_sessions(net: LocalNetwork, whole: Watched) -> tuple[LocalNode, Stream, Stream]:
    """Of one client at one node: sessions 1 and 2."""
    node = await net.node("whole", whole, 2)
    (first, _), (second, _) = await ask(net, "whole", opening(1)), await ask(net, "whole", opening(2))
    return node, first, second


def beside(number: int, tokens: int = 1) -> StepBeside:
    return StepBeside(session=number.to_bytes(16, "big"), number=0, position=0, tokens=tokens, keep=1)


def test_a_frame_of_two_sessions_is_answered_in_one(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        _node, stream, _other = await two_sessions(net, whole)
        step = Step(number=7, position=0, tokens=2, keep=1, dtype="float32", beside=[beside(2, tokens=3)])
        await send_message(stream, step, torch.cat([TEXTS[0][:2], TEXTS[1][:3]]))
        result, hidden = await receive_message(stream, WIDTH)
        other = ResultBeside(session=(2).to_bytes(16, "big"), number=0, tokens=1)
        assert result == Result(number=7, tokens=1, dtype="float32", beside=[other])
        assert_close(hidden, torch.cat([alone(whole._blocks, text)[-1:] for text in (TEXTS[0][:2], TEXTS[1][:3])]))

    in_swarm(main)


def test_nobody_steps_beside_a_strangers_session(start: Start) -> None:
    async def main(net: LocalNetwork) -> None:
        await net.node("whole", start("whole", ALL), 2)
        victim, _ = await ask(net, "whole", opening(1), client="alice")
        stream, answer = await ask(net, "whole", opening(2), client="mallory")
        assert answer == Opened()
        step = Step(number=0, position=0, tokens=1, keep=1, dtype="float32", beside=[beside(1)])
        await send_message(stream, step, TEXTS[0][:2])
        answer = await hear(stream)
        assert isinstance(answer, Failed) and "beside that of a session with other hops" in answer.message
        assert await say(victim, Ping()) == Pong(steps=0)

    in_swarm(main)


def test_a_session_that_has_ended_is_left_out_of_the_answer(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        await net.node("whole", whole, 2)
        stream, _ = await ask(net, "whole", opening(1))
        step = Step(number=0, position=0, tokens=1, keep=1, dtype="float32", beside=[beside(2)])
        await send_message(stream, step, TEXTS[0][:2])
        result, hidden = await receive_message(stream, WIDTH)
        assert result == Result(number=0, tokens=1, dtype="float32")
        assert_close(hidden, alone(whole._blocks, TEXTS[0][:1]))

    in_swarm(main)


def test_a_session_steps_once_in_a_frame(start: Start) -> None:
    async def main(net: LocalNetwork) -> None:
        await net.node("whole", start("whole", ALL), 2)
        stream, _ = await ask(net, "whole", opening(1))
        await send_message(
            stream, Step(number=0, position=0, tokens=1, keep=1, dtype="float32", beside=[beside(1)]), TEXTS[0][:2]
        )
        answer = await hear(stream)
        assert isinstance(answer, Failed) and "two steps in one frame" in answer.message

    in_swarm(main)


def test_a_session_takes_in_no_more_beside_others_than_on_its_own(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        _node, stream, _other = await two_sessions(net, whole)
        async with gate_shut(whole):
            step = Step(number=0, position=0, tokens=1, keep=1, dtype="float32", beside=[beside(2, tokens=TOKENS)])
            for _ in range(3):
                await send_message(stream, step, random_hidden(1 + TOKENS))
            answer = await hear(stream)
        assert isinstance(answer, Failed) and "more tokens are waiting" in answer.message

    in_swarm(main)


def test_what_came_beside_a_session_that_ended_does_not_wait_for_ever(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        node, stream, other = await two_sessions(net, whole)
        async with gate_shut(whole):
            for number in range(2):
                step = Step(number=number, position=0, tokens=1, keep=1, dtype="float32", beside=[beside(2)])
                await send_message(stream, step, random_hidden(2))
            await whole.has_entered()
            await send_message(stream, Close())
        await net.until(lambda: node.engine.running == 1)
        assert node.host.backlog_tokens == 0
        assert await say(other, Ping()) == Pong(steps=0)

    in_swarm(main)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "HOLD_SECONDS", 0.2)


async def first_steps(client: SwarmClient, whole: Watched) -> None:
    """Three sessions of one call take in their texts, and end."""
    texts = TEXTS[:3]
    sessions = [client.open_session(TOKENS) for _ in texts]
    outputs = await step_together({one: SessionStep(text, 0, 1) for one, text in zip(sessions, texts, strict=True)})
    for output, text in zip(outputs, texts, strict=True):
        assert_close(output, alone(whole._blocks, text)[-1:])
    for session in sessions:
        await session.close()


@pytest.mark.usefixtures("hasty")
def test_calls_that_want_all_of_a_node_together_do_not_wait_for_each_others_places(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        await net.node("whole", whole, 4)
        async with trio.open_nursery() as nursery:
            for name in ("alice", "bob", "carol"):
                nursery.start_soon(first_steps, net.client(name), whole)

    in_swarm(main)


@pytest.mark.usefixtures("hasty")
def test_a_call_that_never_gets_all_its_places_leaves_them_to_others(start: Start) -> None:
    whole = start("whole", ALL)

    async def main(net: LocalNetwork) -> None:
        await net.node("whole", whole, 2)

        async def greedy() -> None:
            with pytest.raises(CacheFull, match="every chain is full"):
                await first_steps(net.client("greedy", timeout=3.0), whole)
            ended.append("greedy")

        async def modest() -> None:
            session = net.client("modest").open_session(TOKENS)
            assert_close(await run_step(session, TEXTS[0], 0, 1), alone(whole._blocks, TEXTS[0])[-1:])
            ended.append("modest")
            await session.close()

        ended: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(greedy)
            await trio.testing.wait_all_tasks_blocked(0.1)
            nursery.start_soon(modest)
        assert ended == ["modest", "greedy"]

    in_swarm(main)
