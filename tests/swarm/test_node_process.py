"""A node as its owner and its neighbours see it: it leaves nothing behind, and bad streams do not end it."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from dht import Identity, Stream, open_peer
from process_counters import children, is_running
from routing import NodeState, Snapshot, Span
from routing.errors import StreamClosed
from swarm_node import AutoSwarmModelForCausalLM
from swarm_node.client.client import open_client
from swarm_node.local_swarm import LocalSwarm
from swarm_node.model.source import ModelSource
from swarm_node.program import Program
from swarm_node.wire.frames import receive_message, send_message
from swarm_node.wire.messages import HOP_PROTOCOL, SESSION_PROTOCOL, Attach, Failed, Open
from tests.swarm.runs import OPTIONS, expected, generated, prompt_of


@pytest.fixture
def pair(path: Path, warm_node: Program) -> Iterator[LocalSwarm]:
    """Two nodes that share the model's four blocks."""
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        swarm.start([Span(0, 2), Span(2, 4)])
        yield swarm


@pytest.fixture(scope="module")
def lasting(path: Path, warm_node: Program) -> Iterator[LocalSwarm]:
    """Two nodes like pair's, for tests after which both must still serve."""
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        swarm.start([Span(0, 2), Span(2, 4)])
        yield swarm


def descendants(pid: int) -> set[int]:
    """All processes that it has started, and that these have."""
    found: set[int] = set()
    while more := children(found | {pid}) - found:
        found |= more
    return found


def running(pids: set[int]) -> set[int]:
    return {pid for pid in pids if is_running(pid)}


async def snapshot_when(path: Path, address: str, seconds: float, nodes: int) -> Snapshot:
    """The first snapshot with so many nodes; fails after ``seconds``."""
    with trio.fail_after(seconds):
        async with open_client(ModelSource.open(str(path)), [address], timeout=0, notice=lambda _: None) as client:
            while True:
                snapshot = await client.current_swarm()
                if len(snapshot.nodes) == nodes:
                    return snapshot
                await trio.sleep(0.5)


@pytest.mark.slow
def test_a_killed_node_takes_its_daemon_with_it_and_fades_from_the_swarm(path: Path, pair: LocalSwarm) -> None:
    victim = pair.nodes[1]
    daemons = descendants(victim.process.pid)
    assert daemons
    killed_at = time.monotonic()
    victim.kill()
    while running(daemons) and time.monotonic() < killed_at + 2:
        time.sleep(0.05)
    assert not running(daemons)
    left = 30 - (time.monotonic() - killed_at)
    snapshot = trio.run(snapshot_when, path, pair.address, left, 1)
    assert snapshot.missing(4) == [Span(2, 4)]


@pytest.mark.slow
def test_whoever_kills_the_owner_of_a_local_swarm_has_killed_its_nodes(path: Path) -> None:
    code = "import sys; from swarm_node.local_swarm import *; swarm = LocalSwarm(sys.argv[1], sys.argv[2:])\n"
    code += "swarm.start([Span(0, 4)]); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(path), *OPTIONS], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline()
        started = descendants(owner.pid)
        owner.kill()
    killed_at = time.monotonic()
    while running(started) and time.monotonic() < killed_at + 2:
        time.sleep(0.05)
    assert len(started) == 2  # a node and its daemon
    assert not running(started)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_node_leaves_at_once_and_whole(path: Path, pair: LocalSwarm, ending: signal.Signals) -> None:
    leaver = pair.nodes[1]
    daemons = descendants(leaver.process.pid)
    leaver.process.send_signal(ending)
    assert leaver.process.wait(10) == 0
    assert not running(daemons)
    snapshot = trio.run(snapshot_when, path, pair.address, 5.0, 1)
    assert snapshot.nodes[0].peer_id == pair.nodes[0].peer_id


def test_a_node_finds_the_blocks_that_are_missing_by_itself(path: Path, warm_node: Program) -> None:
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        swarm.start([Span(0, 2)])
        swarm.start([None], ("--memory", "1MiB"))
        snapshot = trio.run(snapshot_when, path, swarm.address, 10.0, 2)
        assert not snapshot.missing(4)
        assert {node.state for node in snapshot.nodes} == {NodeState.ONLINE}


@pytest.mark.slow
def test_a_serving_node_has_not_loaded_what_only_training_calls(path: Path) -> None:
    prompt = prompt_of(9)
    with LocalSwarm(str(path), OPTIONS) as swarm:
        (node,) = swarm.start([Span(0, 4)])
        with AutoSwarmModelForCausalLM.from_pretrained(
            str(path), initial_peers=[swarm.address], dtype="float32"
        ) as model:
            assert generated(model, prompt) == expected(path, prompt)
        mapped = Path(f"/proc/{node.process.pid}/maps").read_text()
    assert "/torch/" in mapped
    assert "/scipy/optimize/" not in mapped


async def until_closed(stream: Stream) -> None:
    """Returns when the other side has closed the stream, whatever it says before."""
    while True:
        try:
            await receive_message(stream)
        except StreamClosed:
            return


HOSTILE = {
    "a frame too long": struct.pack(">II", 2**32 - 1, 2**32 - 1),
    "a frame cut short": struct.pack(">II", 100, 0) + b"short",
    "a frame that is not msgpack": struct.pack(">II", 4, 0) + b"\xc1\xc1\xc1\xc1",
    "a frame of an unknown type": struct.pack(">II", 12, 0) + b"\x81\xa4type\xa5nope!",
    "a step before a session": struct.pack(">II", 11, 0) + b"\x81\xa4type\xa4step",
}


@pytest.mark.parametrize("protocol", [SESSION_PROTOCOL, HOP_PROTOCOL])
def test_hostile_frames_end_their_stream_only(path: Path, lasting: LocalSwarm, tmp_path: Path, protocol: str) -> None:
    async def attack() -> None:
        identity = Identity.load_or_create(tmp_path / "attacker.key")
        async with open_peer(identity, initial_peers=[lasting.address], client_only=True) as peer:
            for frame in HOSTILE.values():
                stream = await peer.open_stream(lasting.nodes[0].peer_id, (lasting.address,), protocol, 10.0)
                await stream.send_all(frame)
                if frame.endswith(b"short"):
                    await stream.aclose()
                    continue
                with trio.fail_after(15):
                    await until_closed(stream)

    trio.run(attack)
    prompt = prompt_of(9)
    with AutoSwarmModelForCausalLM.from_pretrained(
        str(path), initial_peers=[lasting.address], dtype="float32"
    ) as model:
        assert generated(model, prompt) == expected(path, prompt)


def test_an_unknown_session_and_a_wrong_model_are_refused_in_words(
    path: Path, lasting: LocalSwarm, tmp_path: Path
) -> None:
    opening = Open(session=bytes(16), model="other", start=0, end=2, max_tokens=8, previous=None, next=None)

    async def ask() -> list[Failed]:
        answers = []
        identity = Identity.load_or_create(tmp_path / "stranger.key")
        async with open_peer(identity, initial_peers=[lasting.address], client_only=True) as peer:
            for protocol, message in ((HOP_PROTOCOL, Attach(session=bytes(16))), (SESSION_PROTOCOL, opening)):
                stream = await peer.open_stream(lasting.nodes[0].peer_id, (lasting.address,), protocol, 10.0)
                await send_message(stream, message)
                with trio.fail_after(15):
                    answer, _ = await receive_message(stream)
                assert isinstance(answer, Failed)
                answers.append(answer)
                await stream.aclose()
        return answers

    unknown, other = trio.run(ask)
    assert "unknown session" in unknown.message
    assert other.code == "wrong-model"
