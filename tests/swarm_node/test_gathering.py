"""An idle node waits a moment for decodes that come together with the first, and not for those that never do."""

from __future__ import annotations

import pytest
import trio

from swarm_node import gathering
from swarm_node.engine import Engine, open_engine
from swarm_node.gathering import Gathering
from swarm_node.reservation import Reservation
from swarm_node.settings import GATHER_SHARE, GATHERS_SKIPPED_MAX
from tests.swarm_node.watched import ALL, Watched, random_hidden, run, until_waiting

STEP = 0.02


def test_the_first_decode_waits_for_a_part_of_a_batch() -> None:
    assert Gathering().pause(10.0, 1, 3, STEP) == pytest.approx(GATHER_SHARE * STEP)


def test_the_wait_does_not_begin_again_with_each_that_comes() -> None:
    waiting = Gathering()
    waiting.pause(10.0, 1, 3, STEP)
    assert waiting.pause(10.001, 2, 2, STEP) == pytest.approx(GATHER_SHARE * STEP - 0.001)
    assert waiting.pause(11.0, 2, 2, STEP) == 0


def test_nobody_waits_when_nobody_is_absent() -> None:
    waiting = Gathering()
    assert waiting.pause(10.0, 1, 0, STEP) == 0
    waiting.pause(10.0, 1, 1, STEP)
    assert waiting.pause(10.0, 2, 0, STEP) == 0


def test_waits_in_vain_become_rare_and_one_that_pays_makes_them_usual_again() -> None:
    waiting = Gathering()

    def chances_until_a_wait(joined: bool) -> int:
        for chance in range(100):
            waited = waiting.pause(10.0, 1, 1, STEP) > 0
            waiting.end(2 if joined and waited else 1)
            if waited:
                return chance
        raise AssertionError("never waits again")

    vain = [chances_until_a_wait(joined=False) for _ in range(8)]
    assert vain == [0, 1, 3, 7, 15, 31, GATHERS_SKIPPED_MAX, GATHERS_SKIPPED_MAX]
    assert chances_until_a_wait(joined=True) == GATHERS_SKIPPED_MAX
    assert chances_until_a_wait(joined=False) == 0


def test_sessions_whose_tokens_come_one_after_the_other_share_a_batch(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with open_engine(watched, 1000) as engine:
            sessions = [engine.reserve(16, ALL) for _ in range(3)]
            for session in sessions:
                await engine.step(session, random_hidden(1), 0)
            watched.batches.clear()
            monkeypatch.setattr(gathering, "GATHER_SHARE", 1e6)

            async def decode(engine: Engine, session: Reservation) -> None:
                await engine.step(session, random_hidden(1), 1)

            async with trio.open_nursery() as nursery:
                for count, session in enumerate(sessions, 1):
                    nursery.start_soon(decode, engine, session)
                    if count < len(sessions):
                        await until_waiting(engine, count)
            assert watched.batches == [[1, 1, 1]]

    run(main)
