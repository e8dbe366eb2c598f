"""Nodes find their own blocks, and go to others when they are needed there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from routing import NodeView, Snapshot, Span
from swarm_node import AutoSwarmModelForCausalLM
from swarm_node.client.client import open_client
from swarm_node.local_swarm import LocalSwarm, NodeProcess
from swarm_node.model.source import ModelSource
from swarm_node.program import Program
from tests.models import CONTEXT
from tests.swarm.runs import OPTIONS, expected, generated, prompt_of

PROMPT = prompt_of(20)


def memory_for(path: Path, blocks: int) -> tuple[str, str]:
    """Room for so many blocks, with four of the longest sessions in each."""
    source = ModelSource.open(str(path))
    footprint = source.footprint(source.resolve_dtype("float32"))
    return "--memory", f"{blocks * (footprint.block_bytes + 4 * CONTEXT * footprint.token_bytes)}B"


@pytest.mark.slow
def test_when_a_node_leaves_another_takes_its_blocks_and_keeps_those_of_its_own_that_are_needed(
    path: Path, warm_node: Program
) -> None:
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        (first, _) = swarm.start([Span(0, 1), Span(3, 4)])
        (chooser,) = swarm.start([None], memory_for(path, 3))
        first.stop()
        address = chooser.address
        with AutoSwarmModelForCausalLM.from_pretrained(str(path), initial_peers=[address], dtype="float32") as model:
            assert generated(model, PROMPT) == expected(path, PROMPT)
            assert [hop.span for hop in model.route()] == [Span(0, 3), Span(3, 4)]
            assert model.route()[0].node.peer_id == chooser.peer_id


async def snapshot_when(path: Path, node: NodeProcess, true: Callable[[NodeView], bool]) -> Snapshot:
    """The first snapshot in which something is true of the node."""
    with trio.fail_after(40):
        async with open_client(ModelSource.open(str(path)), [node.address], timeout=0, notice=lambda _: None) as client:
            while True:
                snapshot = await client.current_swarm()
                if any(one.peer_id == node.peer_id and true(one) for one in snapshot.nodes):
                    return snapshot
                await trio.sleep(0.5)


@pytest.mark.slow
def test_a_node_with_nothing_to_keep_takes_the_blocks_of_a_dead_one_before_the_record_of_that_has_faded(
    path: Path, warm_node: Program
) -> None:
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        (victim,) = swarm.start([Span(0, 2)])
        (chooser,) = swarm.start([None], memory_for(path, 2))
        swarm.start([Span(2, 4)])
        # It has met the others: of whom it never reached it would not say that they are gone.
        trio.run(snapshot_when, path, chooser, lambda one: one.coordinate.placed)
        victim.kill()
        snapshot = trio.run(snapshot_when, path, chooser, lambda one: one.claim == Span(0, 2))
        assert victim.peer_id in {node.peer_id for node in snapshot.nodes}
        address = chooser.address
        with AutoSwarmModelForCausalLM.from_pretrained(str(path), initial_peers=[address], dtype="float32") as model:
            assert generated(model, PROMPT) == expected(path, PROMPT)
            assert model.route()[0].node.peer_id == chooser.peer_id
