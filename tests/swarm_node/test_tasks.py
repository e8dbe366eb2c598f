"""Deadlines of loops, and calls that run at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from routing.errors import PeerSilent, SwarmError
from swarm_node.tasks import deadline, gather


def run(main: Callable[[], Awaitable[object]]) -> None:
    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_loop_may_take_for_ever_as_long_as_it_hears_something() -> None:
    async def main() -> None:
        with deadline(10, "silent") as again:
            for _ in range(100):
                await trio.sleep(9)
                again()
        assert trio.current_time() >= 900

    run(main)


def test_a_silence_that_is_too_long_ends_it() -> None:
    async def main() -> None:
        began = trio.current_time()
        with (  # noqa: PT012 - the loop is the case
            pytest.raises(PeerSilent, match="the client says nothing for 10 s"),
            deadline(10, "the client says nothing") as again,
        ):
            await trio.sleep(9)
            again()
            await trio.sleep_forever()
        assert trio.current_time() - began == pytest.approx(19)

    run(main)


@pytest.mark.parametrize("others", [0, 2])
def test_results_come_in_order_and_a_failure_is_that_of_the_call(others: int) -> None:
    async def after(seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    async def fails() -> float:
        raise SwarmError("no")

    async def main() -> None:
        waits = [lambda: after(3.0), *[lambda: after(1.0)] * others]
        assert await gather(waits) == [3.0, *[1.0] * others]
        with pytest.raises(SwarmError, match="no"):
            await gather([fails, *waits[1:]])

    run(main)
