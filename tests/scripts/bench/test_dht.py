"""What the directory costs, measured on a small swarm of real peers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from bench.dht import run_swarm


@pytest.mark.slow
def test_every_snapshot_of_a_swarm_at_rest_holds_all_nodes_and_all_costs_are_counted(
    started: Callable[[], set[int]],
) -> None:
    async def main() -> None:
        with trio.fail_after(30):
            result = await run_swarm(6, seconds=1.5, clients=1, rest=0.0)

        assert result.nodes == 6
        assert result.seen_least == 1.0
        assert result.failed == 0 and result.ended == 0
        assert 0 < result.first < 5 and 0 < result.read <= result.read_p95
        assert 0 < result.announce <= result.announce_p95
        assert result.sent_kb > 0 and result.sent_reading_kb > 0 and result.snapshot_kb > 0
        assert result.daemon_cpu > 0 and result.python_cpu > 0
        assert not started(), "everything that was started has ended"

    trio.run(main)
