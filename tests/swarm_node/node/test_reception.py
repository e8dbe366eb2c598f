"""Whoever has opened a stream and has not yet said what for."""

from __future__ import annotations

from contextlib import suppress

import pytest

from routing.errors import StreamClosed
from swarm_node.compute.span import BlockSpan
from swarm_node.testing import LocalNetwork, ask
from swarm_node.wire.frames import send_message
from swarm_node.wire.messages import Ping, Pong
from tests.swarm_node.tiny_swarm import in_swarm


def test_who_pings_and_reads_nothing_holds_no_stream(blocks: BlockSpan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm_node.node.reception.OPEN_SECONDS", 0.2)

    async def main(net: LocalNetwork) -> None:
        await net.node("a", blocks, sessions=1)
        deaf, answer = await ask(net, "a", Ping())
        assert answer == Pong(steps=0)
        with suppress(StreamClosed):
            while True:  # until the answers fill the way back, and for so long as the node waits for the client to read
                await send_message(deaf, Ping())

    in_swarm(main)
