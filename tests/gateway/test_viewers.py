"""Whoever watches a swarm: all share one reading, are told of changes, and there is an end to their number."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import trio
import trio.testing

from routing import Card, NodeView
from routing.errors import BlocksNotCovered, NetworkError
from swarm_node.client import Sight
from swarm_node.gateway import Gateway, OpenModels
from swarm_node.gateway.errors import Refused
from swarm_node.gateway.served import Served
from swarm_node.gateway.settings import PICTURE_READING_SECONDS, PICTURE_SECONDS, VIEWERS
from swarm_node.gateway.viewers import Viewers
from tests.routing.nodes import node, swarm

CARD = Card("model", None, "f" * 32, 6, 64, 2048, "llama", "float32", 0)


@dataclass
class Source:
    card: Card = CARD


@dataclass
class Tokenizer:
    chat_template: str | None = "template"


@dataclass
class Batch:
    """Stands in for one: it sees what a test lets it see."""

    nodes: tuple[NodeView, ...] = (node("alice", 0, 6),)
    failed: frozenset[str] = frozenset()
    failure: Exception | None = None
    reading_seconds: float = 0.0
    readings: int = 0
    source: Source = field(default_factory=Source)

    async def sight(self) -> Sight:
        self.readings += 1
        await trio.sleep(self.reading_seconds)
        if self.failure is not None:
            raise self.failure
        return Sight(swarm(*self.nodes), {}, self.failed)


def viewers_of(batch: Batch) -> Viewers:
    served = Served("model", cast(Any, batch), Tokenizer(), (), cast(Any, None))
    return Viewers(Gateway(OpenModels([served])))


async def next_of(events: AsyncIterator[str]) -> Any:
    return json.loads((await anext(events)).removeprefix("data: "))


def simulated(main: Callable[[], Awaitable[None]]) -> None:
    """Run with a clock that jumps over waits."""
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_many_viewers_cost_one_reading_a_second() -> None:
    batch = Batch(reading_seconds=0.1)
    viewers = viewers_of(batch)

    async def watch() -> None:
        async with viewers.watching("model") as events:
            async for _ in events:
                pass

    async def main() -> None:
        with trio.move_on_after(20 * PICTURE_SECONDS):
            async with trio.open_nursery() as nursery:
                for _ in range(VIEWERS):
                    nursery.start_soon(watch)
        assert 15 <= batch.readings <= 21

    simulated(main)


def test_a_change_is_told_and_nothing_else() -> None:
    batch = Batch()

    async def main() -> None:
        async with viewers_of(batch).watching(None) as events:
            assert len((await next_of(events))["nodes"]) == 1
            with trio.move_on_after(10 * PICTURE_SECONDS) as quiet:
                await anext(events)
            assert quiet.cancelled_caught

    simulated(main)


def test_nodes_that_come_are_told_within_a_second_or_two() -> None:
    batch = Batch()

    async def main() -> None:
        async with viewers_of(batch).watching(None) as events:
            await next_of(events)
            batch.nodes = (*batch.nodes, node("bob", 2, 4))
            with trio.fail_after(2 * PICTURE_SECONDS):
                assert [told["peer"] for told in (await next_of(events))["nodes"]] == ["alice", "bob"]

    simulated(main)


def test_a_peer_that_has_failed_is_silent_until_it_speaks_again() -> None:
    batch = Batch(failed=frozenset({"alice"}))
    [alice] = batch.nodes

    async def main() -> None:
        async with viewers_of(batch).watching(None) as events:
            assert (await next_of(events))["nodes"][0]["state"] == "silent"
            batch.failed = frozenset()
            with trio.move_on_after(10 * PICTURE_SECONDS) as quiet:
                await anext(events)
            assert quiet.cancelled_caught, "that it is tried again says nothing"

        async with viewers_of(batch).watching(None) as events:
            batch.failed = frozenset({"alice"})
            await next_of(events)
            batch.failed, batch.nodes = frozenset(), (replace(alice, expires_at=60.0),)
            assert (await next_of(events))["nodes"][0]["state"] == "online"

    simulated(main)


def test_a_directory_that_fails_or_is_slow_is_told_and_asked_again() -> None:
    batch = Batch(failure=NetworkError("no peer answers"))

    async def main() -> None:
        async with viewers_of(batch).watching(None) as events:
            assert await next_of(events) == {"problem": "no peer answers"}
            batch.failure, batch.reading_seconds = None, 2 * PICTURE_READING_SECONDS
            assert "did not answer within 10 s" in (await next_of(events))["problem"]
            batch.reading_seconds = 0.0
            assert (await next_of(events))["model"] == "model"

    simulated(main)


def test_one_viewer_too_many_is_turned_away_until_another_leaves() -> None:
    viewers = viewers_of(Batch())

    async def main() -> None:
        async with trio.open_nursery() as nursery:

            async def watch(task_status: trio.TaskStatus[trio.CancelScope]) -> None:
                with trio.CancelScope() as scope:
                    async with viewers.watching(None):
                        task_status.started(scope)
                        await trio.sleep_forever()

            scopes = [await nursery.start(watch) for _ in range(VIEWERS)]
            with pytest.raises(Refused) as refused:
                async with viewers.watching(None):
                    pass
            assert refused.value.problem.status == 429
            scopes[0].cancel()
            await trio.testing.wait_all_tasks_blocked()
            async with viewers.watching(None) as events:
                await next_of(events)
            nursery.cancel_scope.cancel()

    simulated(main)


def test_what_is_not_served_is_not_shown() -> None:
    async def main() -> None:
        with pytest.raises(Refused):
            await viewers_of(Batch()).picture("another")
        with pytest.raises(BlocksNotCovered):
            await Viewers(Gateway(OpenModels([]))).picture(None)

    simulated(main)
