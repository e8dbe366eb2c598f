"""A node asks others, whose records are overdue, whether they are there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import trio

from dht import Peer
from process_counters import children
from routing import NodeView, Snapshot, Span
from swarm_node.node.roll_call import RollCall
from swarm_node.node.settings import OVERDUE_SECONDS
from swarm_node.settings import ANNOUNCE_SECONDS, RECORD_SECONDS
from tests.dht.peers import in_trio, local_peer, view_of

BLOCKS = 8


def view(peer: Peer, span: Span, age: float = 0.0) -> NodeView:
    """A node that announced itself ``age`` seconds ago."""
    return view_of(peer, span=span, expires_at=time.time() + RECORD_SECONDS - age)


def roll_call_of(peer: Peer, *reached: Peer) -> RollCall:
    """That of a node whom these have answered."""
    roll_call = RollCall(peer, BLOCKS)
    for other in reached:
        roll_call.reached(other.peer_id)
    return roll_call


async def crashed(tmp_path: Path, name: str) -> Peer:
    async with local_peer(tmp_path / f"{name}.key") as peer:
        return peer


@in_trio(30)
async def test_a_node_that_answers_is_there_even_if_it_serves_nothing_yet(tmp_path: Path) -> None:
    async with local_peer(tmp_path / "here.key") as here, local_peer(tmp_path / "there.key") as there:
        me, late = view(here, Span(0, 4)), view(there, Span(4, 8), OVERDUE_SECONDS + 1)
        assert not await roll_call_of(here, there).gone(Snapshot("model", (me, late), time.time()), me)


@in_trio(30)
async def test_a_node_that_crashed_is_gone_until_it_announces_itself_again(tmp_path: Path) -> None:
    dead = await crashed(tmp_path, "dead")
    async with local_peer(tmp_path / "here.key") as here:
        me, roll_call = view(here, Span(0, 4)), roll_call_of(here, dead)
        late, anew = (view(dead, Span(4, 8), age) for age in (OVERDUE_SECONDS + 1, 0.0))
        assert await roll_call.gone(Snapshot("model", (me, late), time.time()), me) == {dead.peer_id}
        assert await roll_call.gone(Snapshot("model", (me, late), time.time()), me) == {dead.peer_id}
        assert not await roll_call.gone(Snapshot("model", (me, anew), time.time()), me)


@in_trio(30)
async def test_those_that_crashed_with_it_are_found_though_they_announced_themselves_a_moment_before(
    tmp_path: Path,
) -> None:
    dead, with_it = await crashed(tmp_path, "dead"), await crashed(tmp_path, "with-it")
    async with local_peer(tmp_path / "here.key") as here, local_peer(tmp_path / "there.key") as there:
        me = view(here, Span(0, 4))
        nodes = (me, view(dead, Span(4, 6), OVERDUE_SECONDS + 1), view(with_it, Span(6, 7)), view(there, Span(7, 8)))
        found = await roll_call_of(here, dead, with_it, there).gone(Snapshot("model", nodes, time.time()), me)
        assert found == {dead.peer_id, with_it.peer_id}


@in_trio(30)
async def test_nobody_is_gone_whose_blocks_others_host_or_whose_record_is_not_overdue(tmp_path: Path) -> None:
    dead, young = await crashed(tmp_path, "dead"), await crashed(tmp_path, "young")
    async with local_peer(tmp_path / "here.key") as here:
        me = view(here, Span(0, 4))
        nodes = (me, view(dead, Span(0, 4), OVERDUE_SECONDS + 1), view(young, Span(4, 8), ANNOUNCE_SECONDS))
        assert not await roll_call_of(here, dead, young).gone(Snapshot("model", nodes, time.time()), me)


@in_trio(30)
async def test_a_node_that_was_never_reached_may_be_there_for_others(tmp_path: Path) -> None:
    stranger = await crashed(tmp_path, "stranger")
    async with local_peer(tmp_path / "here.key") as here:
        me, late = view(here, Span(0, 4)), view(stranger, Span(4, 8), OVERDUE_SECONDS + 1)
        assert not await roll_call_of(here).gone(Snapshot("model", (me, late), time.time()), me)


@in_trio(30)
async def test_a_machine_that_says_nothing_at_all_is_gone_after_two_deadlines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm_node.node.roll_call.ASK_SECONDS", 0.1)
    monkeypatch.setattr("swarm_node.node.roll_call.ASK_AGAIN_SECONDS", 0.3)
    async with local_peer(tmp_path / "here.key") as here:
        before = children({os.getpid()})
        async with local_peer(tmp_path / "frozen.key", initial_peers=here.addresses) as frozen:
            daemons = children({os.getpid()}) - before
            me, late = view(here, Span(0, 4)), view(frozen, Span(4, 8), OVERDUE_SECONDS + 1)
            for process_id in daemons:
                os.kill(process_id, signal.SIGSTOP)
                # Its other threads may go on for a moment.
                await trio.to_thread.run_sync(os.waitid, os.P_PID, process_id, os.WSTOPPED)
            try:
                began = trio.current_time()
                found = await roll_call_of(here, frozen).gone(Snapshot("model", (me, late), time.time()), me)
                assert found == {frozen.peer_id}
                assert 0.4 <= trio.current_time() - began < 5
            finally:
                for process_id in daemons:
                    os.kill(process_id, signal.SIGCONT)
