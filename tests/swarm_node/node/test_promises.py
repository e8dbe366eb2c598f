"""Nodes that want to leave blocks rely on others to stay."""

from __future__ import annotations

from pathlib import Path

import trio

from routing import Span
from swarm_node.wire.messages import Rely
from tests.dht.peers import in_trio, view_of
from tests.swarm_node.members import MODEL, Member, members


@in_trio(30)
async def test_a_node_may_leave_when_another_promises_to_stay_who_then_stays(tmp_path: Path) -> None:
    async with members(tmp_path, [Span(0, 4), Span(2, 6), Span(0, 2)]) as (leaving, left, right):
        assert await leaving.may_leave(left, right)
        assert not await left.may_leave(leaving, right)
        leaving.promises.stop_leaving()
        assert not await right.may_leave(leaving)


@in_trio(30)
async def test_a_node_stays_when_nobody_else_serves_one_of_its_blocks(tmp_path: Path) -> None:
    async with members(tmp_path, [Span(0, 4), Span(1, 6)]) as (alone, other):
        assert not await alone.may_leave(other)
        # It is not on its way any more, so that others may rely on it.
        assert alone.promises.answer(Rely(model=MODEL, start=0, end=4), Span(0, 4)).end == 4


@in_trio(30)
async def test_where_blocks_are_missing_anyway_it_is_enough_that_another_loads_those_that_are_left(
    tmp_path: Path,
) -> None:
    async with members(tmp_path, [Span(0, 4), Span(1, 6)]) as (alone, other):
        assert await alone.promises.may_leave([Span(0, 4)], [other.view], loading=[Span(0, 1)])


@in_trio(30)
async def test_of_two_that_want_to_leave_the_same_blocks_at_once_not_both_go(tmp_path: Path) -> None:
    async with members(tmp_path, [Span(0, 4), Span(0, 4)]) as (one, other):
        went: list[bool] = []

        async def leave(who: Member, rest: Member) -> None:
            went.append(await who.may_leave(rest))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave, one, other)
            nursery.start_soon(leave, other, one)
        assert went != [True, True]


@in_trio(30)
async def test_a_dead_host_promises_nothing(tmp_path: Path) -> None:
    async with members(tmp_path, [Span(0, 4), Span(0, 4)]) as (one, other):
        gone = view_of(other.peer, span=Span(0, 4), peer_id=one.view.peer_id[:-1] + "A")
        assert not await one.promises.may_leave([Span(0, 4)], [gone])


@in_trio(30)
async def test_a_host_of_another_model_promises_nothing(tmp_path: Path) -> None:
    async with members(tmp_path, [Span(0, 4)]) as (one,):
        assert one.promises.answer(Rely(model="another", start=0, end=4), Span(0, 4)).end == 0
