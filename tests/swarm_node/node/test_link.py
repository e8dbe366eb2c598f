"""What a node measures of the way to its peers."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from routing import Span
from routing.errors import SwarmError
from swarm_node.node.link import bandwidth, round_trip
from swarm_node.wire.frames import receive_message, send_message
from swarm_node.wire.messages import SESSION_PROTOCOL, Probe
from tests.dht.peers import in_trio
from tests.swarm_node.members import members


@in_trio(30)
async def test_a_round_trip_and_the_bandwidth_to_a_peer_are_measured(tmp_path: Path) -> None:
    async with members(tmp_path, [Span(0, 4), Span(0, 4)]) as (here, there):
        assert 0 < await round_trip(here.peer, there.view) < 1
        measured = await bandwidth(here.peer, there.view)
        assert 1e5 < measured.upload_rate < 1e11
        assert 1e5 < measured.download_rate < 1e11


@in_trio(30)
async def test_one_bandwidth_is_measured_at_a_time(tmp_path: Path) -> None:
    async with members(tmp_path, [Span(0, 4), Span(0, 4)]) as (here, there):
        busy = await here.peer.open_stream(there.view.peer_id, there.view.addresses, SESSION_PROTOCOL, 5)
        await send_message(busy, Probe(answer_bytes=1))
        await receive_message(busy)
        with pytest.raises(SwarmError):
            await bandwidth(here.peer, there.view)
        await busy.aclose()
        while True:
            try:
                await bandwidth(here.peer, there.view)
                return
            except SwarmError:
                await trio.lowlevel.checkpoint()
