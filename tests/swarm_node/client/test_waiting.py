"""A full swarm, as its clients live it: they wait for a chain in line, and are woken when it is their turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import trio
import trio.testing

from routing import Hop, SessionShape, Snapshot, Span
from routing.errors import BlocksNotCovered, CacheFull
from swarm_node.client import opening, waiting
from swarm_node.client.chain import Chain
from swarm_node.client.client import SwarmClient
from swarm_node.compute.loading import load_span
from swarm_node.compute.span import BlockSpan
from swarm_node.model.source import ModelSource
from swarm_node.testing import LocalNetwork, LocalNode, run_step
from tests.models import make_model
from tests.swarm_node.tiny_swarm import TOKENS, close, hidden_states, in_swarm, open_chain
from tests.swarm_node.watched import ALL, alone, assert_close

FRONT, BACK = Span(0, 2), Span(2, 4)


class Loaded:
    """Blocks for several nodes: each engine needs its own."""

    def __init__(self, directory: Path) -> None:
        self._source = ModelSource.open(str(make_model("llama", directory)))
        self._loaded: dict[str, BlockSpan] = {}

    def get(self, name: str, span: Span) -> BlockSpan:
        if name not in self._loaded:
            self._loaded[name] = load_span(self._source, span, dtype=torch.float32)
        return self._loaded[name]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    torch.set_num_threads(1)
    return Loaded(tmp_path_factory.mktemp("llama"))


async def nodes(net: LocalNetwork, loaded: Loaded, **sessions: int) -> list[LocalNode]:
    """Nodes with room for so many sessions. ``front…`` and ``back…`` host half of the model, others all of it."""
    made = []
    for name, count in sessions.items():
        span = FRONT if name.startswith("front") else BACK if name.startswith("back") else ALL
        made.append(await net.node(name, loaded.get(name, span), count))
    return made


def route(chain: Chain) -> list[str]:
    return [hop.node.peer_id for hop in chain.hops]


async def take_turn(name: str, client: SwarmClient, served: list[str]) -> None:
    """Wait for a chain, note whose turn it is, and give it back."""
    chain = await open_chain(client)
    served.append(name)
    await close(chain)


def test_sessions_are_served_in_the_order_in_which_they_began_to_wait(loaded: Loaded) -> None:
    async def main(net: LocalNetwork) -> None:
        front, back = await nodes(net, loaded, front=1, back=1)
        holding = await open_chain(net.client("holder"))
        served: list[str] = []
        async with trio.open_nursery() as nursery:
            for number in range(3):
                name = f"client{number}"
                nursery.start_soon(take_turn, name, net.client(name), served)
                await net.until(lambda count=number + 1: front.host.waiting == back.host.waiting == count)
            await close(holding)
        assert served == ["client0", "client1", "client2"]
        assert front.host.waiting == back.host.waiting == 0

    in_swarm(main)


def test_sessions_that_reach_the_nodes_of_a_chain_in_opposite_order_do_not_block_each_other(loaded: Loaded) -> None:
    async def main(net: LocalNetwork) -> None:
        front, back = await nodes(net, loaded, front=1, back=1)
        net.lag = {("one", "back"): 0.1, ("two", "front"): 0.1}
        holding = await open_chain(net.client("holder"))
        served: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turn, "one", net.client("one"), served)
            nursery.start_soon(take_turn, "two", net.client("two"), served)
            await net.until(lambda: front.host.waiting == back.host.waiting == 2)
            await close(holding)
        assert sorted(served) == ["one", "two"]
        # Nothing is free, then everything at once: both again, without a line before them.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turn, "one", net.client("one"), served)
            nursery.start_soon(take_turn, "two", net.client("two"), served)
        assert len(served) == 4

    in_swarm(main)


def test_a_session_takes_whichever_chain_is_free_first_and_leaves_the_other_lines(loaded: Loaded) -> None:
    async def main(net: LocalNetwork) -> None:
        whole, front, back = await nodes(net, loaded, whole=1, front=1, back=1)
        holder = net.client("holder")
        held = [await open_chain(holder), await open_chain(holder)]
        halves = next(chain for chain in held if len(chain.hops) == 2)
        chains: list[Chain] = []

        async def wait() -> None:
            chains.append(await open_chain(net.client("patient")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await net.until(lambda: whole.host.waiting == front.host.waiting == back.host.waiting == 1)
            await close(halves)
        assert route(chains[0]) == ["front", "back"]
        await net.until(lambda: whole.host.waiting == front.host.waiting == back.host.waiting == 0)

    in_swarm(main)


def test_a_client_that_gives_up_while_it_thinks_again_keeps_no_chain(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(net: LocalNetwork) -> None:
        one, other = await nodes(net, loaded, one=1, other=1)
        client = net.client("hesitant")
        better = trio.Event()

        def second_thoughts(_snapshot: Snapshot, _shape: SessionShape, hops: Sequence[Hop], *_: object) -> list[Hop]:
            (hop,) = hops
            node = other if hop.node.peer_id == "one" else one
            net.lag = {("hesitant", node.name): 60.0}
            better.set()
            return [Hop(node.view(), hop.span)]

        monkeypatch.setattr(client.chains.router, "second_thoughts", second_thoughts)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_chain, client)
            await better.wait()
            assert one.engine.running + other.engine.running == 1
            nursery.cancel_scope.cancel()
        await net.until(lambda: one.engine.running + other.engine.running == 0)

    in_swarm(main)


def test_a_client_that_gives_up_does_not_hold_up_the_others(loaded: Loaded) -> None:
    async def main(net: LocalNetwork) -> None:
        (node,) = await nodes(net, loaded, whole=1)
        holding = await open_chain(net.client("holder"))
        served: list[str] = []
        async with trio.open_nursery() as nursery, trio.open_nursery() as impatient:
            impatient.start_soon(take_turn, "impatient", net.client("impatient"), served)
            await net.until(lambda: node.host.waiting == 1)
            nursery.start_soon(take_turn, "patient", net.client("patient"), served)
            await net.until(lambda: node.host.waiting == 2)
            impatient.cancel_scope.cancel()
            with trio.fail_after(0.9):
                await close(holding)
        assert served == ["patient"]

    in_swarm(main)


def test_a_node_that_dies_or_leaves_while_a_session_waits_for_it_is_left_out(loaded: Loaded) -> None:
    async def main(net: LocalNetwork) -> None:
        one, two, three = await nodes(net, loaded, one=1, two=1, three=1)
        holder = net.client("holder")
        held = {route(chain)[0]: chain for chain in [await open_chain(holder) for _ in range(3)]}
        chains: list[Chain] = []

        async def wait() -> None:
            chains.append(await open_chain(net.client("patient")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await net.until(lambda: one.host.waiting == two.host.waiting == three.host.waiting == 1)
            one.die()
            nursery.start_soon(two.host.drain)
            await net.until(lambda: two.host.waiting == 0)
            await close(held["two"])
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert not chains
            await close(held["three"])
        assert route(chains[0]) == ["three"]

    in_swarm(main)


def test_when_the_last_node_of_a_block_dies_the_blocks_are_named(loaded: Loaded) -> None:
    async def main(net: LocalNetwork) -> None:
        front, back = await nodes(net, loaded, front=1, back=1)
        await open_chain(net.client("holder"))
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(BlocksNotCovered, match="2:4"):
                    await open_chain(net.client("patient"), seconds=1.5)

            nursery.start_soon(wait)
            await net.until(lambda: front.host.waiting == back.host.waiting == 1)
            back.die()

    in_swarm(main)


def test_a_wait_that_takes_too_long_ends_and_leaves_nothing_behind(loaded: Loaded) -> None:
    async def main(net: LocalNetwork) -> None:
        front, back = await nodes(net, loaded, front=1, back=1)
        holding = await open_chain(net.client("holder"))
        notices: list[str] = []
        with pytest.raises(CacheFull, match="every chain is full"):
            await open_chain(net.client("patient", notices), seconds=0.3)
        await net.until(lambda: front.host.waiting == back.host.waiting == 0)
        assert not notices, "too short to be told"
        await close(holding)
        for node in (front, back):
            await net.until(lambda node=node: node.engine.free_tokens == node.engine.capacity_tokens)

    in_swarm(main)


def test_who_waits_is_told_how_many_are_before_it(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.05)

    async def main(net: LocalNetwork) -> None:
        (node,) = await nodes(net, loaded, whole=1)
        holding = await open_chain(net.client("holder"))
        notices: dict[str, list[str]] = {"first": [], "second": []}
        async with trio.open_nursery() as nursery:
            for count, (name, told) in enumerate(notices.items(), 1):
                nursery.start_soon(take_turn, name, net.client(name, told), [])
                await net.until(lambda count=count: node.host.waiting == count)
            with trio.fail_after(5):
                while not all(notices.values()):
                    await trio.sleep(0.01)
            await close(holding)
        assert notices == {
            "first": ["waiting: every chain is full; no session is before this one"],
            "second": ["waiting: every chain is full; one session is before this one"],
        }

    in_swarm(main)


def test_waiting_asks_nobody_anything_again(loaded: Loaded) -> None:
    async def main(net: LocalNetwork) -> None:
        front, back = await nodes(net, loaded, front=1, back=1)
        holding = await open_chain(net.client("holder"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turn, "patient", net.client("patient"), [])
            await net.until(lambda: front.host.waiting == back.host.waiting == 1)
            opened, lookups = len(net.opened), net.lookups
            await trio.sleep(1.2)
            assert (len(net.opened), net.lookups) == (opened, lookups)
            await close(holding)
        patient = [to for who, to in net.opened if who == "patient"]
        assert sorted(patient) == ["back", "front"], "a chain is opened on the streams of the wait"

    in_swarm(main)


def test_a_node_that_joins_meanwhile_is_found(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "WAITING_SNAPSHOT_SECONDS", 0.1)
    monkeypatch.setattr(waiting, "SNAPSHOT_SECONDS", 0.0)

    async def main(net: LocalNetwork) -> None:
        front, back = await nodes(net, loaded, front=1, back=2)
        await open_chain(net.client("holder"))
        chains: list[Chain] = []

        async def wait() -> None:
            chains.append(await open_chain(net.client("patient")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await net.until(lambda: front.host.waiting == back.host.waiting == 1)
            await nodes(net, loaded, front_too=1)
        assert route(chains[0]) == ["front_too", "back"]

    in_swarm(main)


def test_a_client_with_an_old_view_takes_the_next_chain_when_it_is_refused(loaded: Loaded) -> None:
    async def main(net: LocalNetwork) -> None:
        await nodes(net, loaded, one=1, two=1)
        late = net.client("late")
        await late.chains.snapshot()
        first = await open_chain(net.client("early"))
        while True:  # the first choice is made by lot
            chain = await open_chain(late)
            if len([to for who, to in net.opened if who == "late"]) > 1:
                break
            await close(chain)
            late = net.client("late")
            late.chains._snapshot = None
            net.opened.clear()
            await close(first)
            await late.chains.snapshot()
            first = await open_chain(net.client("early"))
        assert route(chain) != route(first)

    in_swarm(main)


def test_the_sessions_of_one_client_do_not_take_the_same_room(loaded: Loaded) -> None:
    async def main(net: LocalNetwork) -> None:
        await nodes(net, loaded, one=1, two=1, three=1)
        client = net.client("client")
        chains: list[Chain] = []

        async def start() -> None:
            chains.append(await open_chain(client))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(start)
        assert sorted(name for _, name in net.opened) == ["one", "three", "two"], "nobody was refused"
        assert len(chains) == 3

    in_swarm(main)


def test_a_crowd_gets_its_answers_through_few_nodes(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SNAPSHOT_SECONDS", 0.5)

    async def main(net: LocalNetwork) -> None:
        made = await nodes(net, loaded, front=1, back=1, front_too=1, back_too=1)
        right: list[int] = []

        async def speak(client: SwarmClient, seed: int) -> None:
            session = client.open_session(TOKENS)
            hidden = hidden_states(seed)
            output = [await run_step(session, hidden[:3], 0, 3), await run_step(session, hidden[3:], 3, 1)]
            assert_close(torch.cat(output), expected[seed])
            right.append(seed)
            await session.close()

        async with trio.open_nursery() as nursery:
            for number in range(3):
                client = net.client(f"client{number}")
                for seed in range(4 * number, 4 * number + 4):
                    nursery.start_soon(speak, client, seed)
        assert sorted(right) == list(range(12))
        for node in made:
            await net.until(lambda node=node: node.engine.free_tokens == node.engine.capacity_tokens)
            assert node.host.waiting == 0

    reference = loaded.get("reference", ALL)
    expected = {seed: alone(reference, hidden_states(seed)) for seed in range(12)}
    in_swarm(main, seconds=20)
