"""The socket of a node's metrics is closed once, however it is closed."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import trio
import trio.testing

from swarm_node.node.metrics_page import listening, serve_metrics


def test_a_node_that_ends_closes_its_metrics_without_a_word() -> None:
    async def main() -> None:
        with listening("127.0.0.1", 0) as at:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(serve_metrics, cast(Any, None), at))
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_node_that_never_begins_to_serve_closes_it_too() -> None:
    with listening("127.0.0.1", 0) as at:
        pass
    assert at.fileno() == -1
