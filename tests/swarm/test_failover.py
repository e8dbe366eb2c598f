"""Nodes die in the middle of an answer; the answer does not change."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from routing import Span
from routing.errors import BlocksNotCovered
from swarm_node import AutoSwarmModelForCausalLM, SwarmModel
from swarm_node.client.chain import Chain
from swarm_node.local_swarm import LocalSwarm, NodeProcess
from swarm_node.program import Program
from tests.swarm.runs import OPTIONS, AfterTokens, expected, generated, prompt_of, thirds

PROMPT = prompt_of(300)


@pytest.fixture(scope="module")
def doubled(path: Path, warm_node: Program) -> Iterator[LocalSwarm]:
    """Every block on two nodes. A test that kills one starts another in its place."""
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        swarm.start([*thirds(4), *thirds(4)])
        yield swarm


def connect(path: Path, swarm: LocalSwarm, notices: list[str], timeout: float = 60.0) -> SwarmModel:
    return AutoSwarmModelForCausalLM.from_pretrained(
        str(path), initial_peers=[swarm.address], dtype="float32", timeout=timeout, notice=notices.append
    )


def hop_of(swarm: LocalSwarm, model: SwarmModel, hop: int) -> NodeProcess:
    """The process behind hop ``hop`` of the chain in use."""
    peer_id = model.route()[hop].node.peer_id
    return next(node for node in swarm.nodes if node.peer_id == peer_id)


@pytest.mark.parametrize("hop", [0, pytest.param(1, marks=pytest.mark.slow), 2])
def test_killing_a_node_during_decode_does_not_change_the_text(path: Path, doubled: LocalSwarm, hop: int) -> None:
    notices: list[str] = []
    killed: list[NodeProcess] = []

    def kill() -> None:
        killed.append(hop_of(doubled, model, hop))
        killed[0].kill()

    with connect(path, doubled, notices) as model:
        written = generated(model, PROMPT, streamer=AfterTokens(10, kill))
    doubled.start([killed[0].span])
    assert written == expected(path, PROMPT)
    assert any("taking another way" in notice for notice in notices)


@pytest.mark.parametrize("hop", [0, pytest.param(1, marks=pytest.mark.slow), 2])
def test_killing_a_node_during_prefill_does_not_change_the_text(
    path: Path, doubled: LocalSwarm, hop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[str] = []
    killed: list[NodeProcess] = []
    plain_send = Chain._send

    async def send_then_kill(self: Chain, number: int, *step: Any) -> None:
        await plain_send(self, number, *step)
        if not killed:  # after the first of the prompt's three frames
            killed.extend(node for node in doubled.nodes if node.peer_id == self.hops[hop].node.peer_id)
            killed[0].kill()

    monkeypatch.setattr(Chain, "_send", send_then_kill)
    with connect(path, doubled, notices) as model:
        written = generated(model, PROMPT)
    doubled.start([killed[0].span])
    assert written == expected(path, PROMPT)
    assert notices


@pytest.mark.slow
def test_a_node_that_stalls_is_left_like_one_that_died(path: Path, doubled: LocalSwarm) -> None:
    notices: list[str] = []
    stalled: list[NodeProcess] = []

    def stall() -> None:
        stalled.append(hop_of(doubled, model, 1))
        stalled[0].process.send_signal(signal.SIGSTOP)

    with connect(path, doubled, notices) as model:
        written = generated(model, PROMPT, streamer=AfterTokens(10, stall))
    stalled[0].process.send_signal(signal.SIGCONT)
    assert written == expected(path, PROMPT)
    assert any("silent" in notice for notice in notices)


@pytest.mark.slow
def test_without_a_spare_the_missing_blocks_are_named(path: Path, warm_node: Program) -> None:
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        _first, second = swarm.start([Span(0, 2), Span(2, 4)])
        with (
            connect(path, swarm, [], timeout=3.0) as model,
            pytest.raises(BlocksNotCovered, match="2:4"),
        ):
            generated(model, PROMPT, streamer=AfterTokens(5, second.kill))


@pytest.mark.slow
def test_a_node_that_rejoins_in_time_saves_the_text(path: Path, warm_node: Program) -> None:
    notices: list[str] = []
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        _first, second = swarm.start([Span(0, 2), Span(2, 4)])
        killed = threading.Event()

        def kill() -> None:
            second.kill()
            killed.set()

        with connect(path, swarm, notices) as model, ThreadPoolExecutor() as pool:
            writing = pool.submit(generated, model, PROMPT, streamer=AfterTokens(5, kill))
            assert killed.wait(30)
            swarm.restart(second)
            written = writing.result()
    assert written == expected(path, PROMPT)
    assert any("2:4" in notice for notice in notices)
