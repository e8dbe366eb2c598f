"""A gateway serves what its swarm has: loaded when asked for, a few at a time, and never by a lying name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import trio
import trio.testing

import swarm_node.gateway.discovered
from routing import Card, PresentModel
from routing.errors import ModelNotFound, NetworkError, PeerSilent, WrongModel
from swarm_node.gateway.discovered import DiscoveredModels
from swarm_node.gateway.errors import Refused
from swarm_node.gateway.served import Served
from swarm_node.gateway.settings import LINGER_SECONDS, LOOK_SECONDS, REFUSAL_SECONDS
from tests.routing.nodes import node, swarm

LOAD_SECONDS = 5.0


def model(name: str, digit: str = "", *, on_hub: bool = True, end: int = 4) -> PresentModel:
    """One of four blocks, whose fingerprint is its name's unless given."""
    card = Card(name, "a" * 40 if on_hub else None, digit or name, 4, 64, 2048, "llama", "float32", 0)
    return PresentModel(card, (), swarm(node("alice", 0, end)))


@dataclass
class Batch:
    """Stands in for one: busy while a test says so."""

    busy: bool = False


@dataclass
class Swarm:
    """What there is, and what the gateway does with it."""

    present: list[PresentModel]
    failures: dict[str, Exception] = field(default_factory=dict)
    """By fingerprint."""
    unreachable: bool = False
    loads: list[str] = field(default_factory=list)
    """Fingerprints in the order in which they were loaded."""
    loaded: set[str] = field(default_factory=set)

    async def look(self) -> list[PresentModel]:
        if self.unreachable:
            raise PeerSilent("nobody answers")
        return self.present

    @asynccontextmanager
    async def load(self, model: PresentModel) -> AsyncIterator[Served]:
        fingerprint = model.card.fingerprint
        await trio.sleep(LOAD_SECONDS)
        if fingerprint in self.failures:
            raise self.failures[fingerprint]
        self.loads.append(fingerprint)
        self.loaded.add(fingerprint)
        try:
            yield Served(model.card.name, cast(Any, Batch()), None, (), cast(Any, None))
        finally:
            self.loaded.remove(fingerprint)


def with_models(there: Swarm, act: Callable[[DiscoveredModels], Awaitable[None]]) -> None:
    """Run ``act`` on trio's autojump clock, then end everything."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            models = DiscoveredModels(there.look, there.load, nursery)
            await models.look()
            nursery.start_soon(models.keep_looking)
            await act(models)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert there.loaded == set()


@pytest.fixture
def two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swarm_node.gateway.discovered, "LOADED_MODELS", 2)


def test_it_lists_what_can_be_used_and_got() -> None:
    async def act(models: DiscoveredModels) -> None:
        assert models.names() == ["whole"]

    with_models(Swarm([model("whole"), model("half", end=2), model("of-a-folder", on_hub=False)]), act)


@pytest.mark.parametrize(
    ("present", "says"),
    [
        ([model("whole")], None),
        ([model("of-a-folder", on_hub=False)], "of-a-folder is from a directory.*--model DIRECTORY"),
        ([model("half", end=2)], "has all its blocks served"),
        ([], "has all its blocks served"),
    ],
)
def test_it_says_why_nothing_can_be_asked_for(present: list[PresentModel], says: str | None) -> None:
    async def act(models: DiscoveredModels) -> None:
        absent = models.absent()
        assert absent is None if says is None else re.search(says, str(absent))

    with_models(Swarm(present), act)


def test_a_model_is_loaded_when_it_is_first_asked_for_and_once() -> None:
    there = Swarm([model("a"), model("b")])

    async def act(models: DiscoveredModels) -> None:
        assert there.loads == []
        first = await models.served("a")
        assert await models.served("a") is first
        assert there.loads == ["a"]

    with_models(there, act)


def test_many_who_ask_at_once_share_one_loading_and_one_that_leaves_ends_it_for_none() -> None:
    there = Swarm([model("a")])
    got: list[Served] = []

    async def ask(models: DiscoveredModels, seconds: float) -> None:
        with trio.move_on_after(seconds):
            got.append(await models.served("a"))

    async def act(models: DiscoveredModels) -> None:
        async with trio.open_nursery() as nursery:
            for seconds in (LOAD_SECONDS / 2, 60, 60):
                nursery.start_soon(ask, models, seconds)
        assert there.loads == ["a"]
        assert len(got) == 2 and got[0] is got[1]

    with_models(there, act)


def test_an_unknown_name_is_refused() -> None:
    async def act(models: DiscoveredModels) -> None:
        with pytest.raises(Refused, match="'c' is not served"):
            await models.served("c")

    with_models(Swarm([model("a")]), act)


def test_the_longest_unused_makes_room(two_places: None) -> None:
    there = Swarm([model("a"), model("b"), model("c")])

    async def act(models: DiscoveredModels) -> None:
        for name in ("a", "b"):
            await models.served(name)
            await trio.sleep(2 * LINGER_SECONDS)
        await models.served("a")
        await trio.sleep(2 * LINGER_SECONDS)
        await models.served("c")
        assert there.loaded == {"a", "c"}

    with_models(there, act)


def test_a_model_in_use_is_never_put_away(two_places: None) -> None:
    there = Swarm([model("a"), model("b"), model("c")])

    async def act(models: DiscoveredModels) -> None:
        for name in ("a", "b"):
            cast(Any, (await models.served(name)).batch).busy = True
        await trio.sleep(2 * LINGER_SECONDS)
        with pytest.raises(Refused, match="in use") as refused:
            await models.served("c")
        assert refused.value.problem.status == 429
        cast(Any, (await models.served("b")).batch).busy = False
        await trio.sleep(2 * LINGER_SECONDS)
        await models.served("c")
        assert there.loaded == {"a", "c"}

    with_models(there, act)


def test_one_who_was_given_a_model_has_time_to_begin(two_places: None) -> None:
    there = Swarm([model("a"), model("b"), model("c")])

    async def act(models: DiscoveredModels) -> None:
        await models.served("a")
        await models.served("b")
        with pytest.raises(Refused, match="in use"):
            await models.served("c")

    with_models(there, act)


def test_a_model_that_cannot_be_had_is_left_out_for_a_while() -> None:
    there = Swarm([model("a")], failures={"a": ModelNotFound("gated")})

    async def act(models: DiscoveredModels) -> None:
        with pytest.raises(ModelNotFound, match="gated"):
            await models.served("a")
        assert models.names() == []
        with pytest.raises(Refused, match="not served"):
            await models.served("a")
        there.failures.clear()
        await trio.sleep(REFUSAL_SECONDS)
        assert models.names() == ["a"]
        assert (await models.served("a")).name == "a"

    with_models(there, act)


def test_who_takes_anothers_name_does_not_get_its_requests() -> None:
    there = Swarm([model("a", "lie"), model("a", "truth")], failures={"lie": WrongModel("other weights")})

    async def act(models: DiscoveredModels) -> None:
        assert models.names() == ["a"]
        await models.served("a")
        assert there.loads == ["truth"]

    with_models(there, act)


def test_what_breaks_in_a_strangers_model_does_not_break_the_gateway() -> None:
    there = Swarm([model("a"), model("b")], failures={"a": ZeroDivisionError()})

    async def act(models: DiscoveredModels) -> None:
        with pytest.raises(ZeroDivisionError):
            await models.served("a")
        await models.served("b")

    with_models(there, act)


def test_models_come_and_go_and_an_outage_changes_nothing() -> None:
    there = Swarm([model("a")])

    async def act(models: DiscoveredModels) -> None:
        there.present = [model("b")]
        there.unreachable = True
        await trio.sleep(1.5 * LOOK_SECONDS)
        assert models.names() == ["a"]
        there.unreachable = False
        await trio.sleep(LOOK_SECONDS)
        assert models.names() == ["b"]

    with_models(there, act)


def test_a_loaded_model_that_loses_a_block_can_still_be_asked_and_waits() -> None:
    there = Swarm([model("a")])

    async def act(models: DiscoveredModels) -> None:
        await models.served("a")
        there.present = [replace(model("a", end=2))]
        await trio.sleep(1.5 * LOOK_SECONDS)
        assert models.names() == ["a"]
        await models.served("a")

    with_models(there, act)


def test_a_swarm_that_cannot_be_asked_at_first_is_an_error() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await DiscoveredModels(Swarm([], unreachable=True).look, cast(Any, None), nursery).look()

    with pytest.raises(ExceptionGroup) as raised:
        trio.run(main)
    assert raised.group_contains(NetworkError)
