"""An engine waits a moment for decodes that are about to come, where that costs less than a batch of their own."""

from __future__ import annotations

import pytest
import trio

from swarm_node.engine import queue
from swarm_node.engine.engine import Engine, open_engine
from swarm_node.engine.gathering import Absence, BatchTimes, Pause, pause
from swarm_node.engine.reservation import Reservation
from swarm_node.engine.settings import AWAY_MOST, PAUSE_MOST
from tests.swarm_node.watched import ALL, Watched, one_step, random_hidden, run, until_waiting

FIXED, EACH = 0.016, 0.002


def seen(*sizes: int) -> BatchTimes:
    """What an engine has learned from batches of so many sessions, each taking FIXED and EACH for every one."""
    times = BatchTimes()
    for size in sizes:
        times = times.after(size, FIXED + EACH * size)
    return times


TIMES = seen(1, 4, 8, 3)


def away(*seconds: float) -> Absence:
    """A session that was away for so long between its decodes, and has just done one at 100 s."""
    absence, now = Absence(), 100.0 - sum(seconds)
    for each in seconds:
        absence = absence.decoded(now).back(now + each)
        now += each
    return absence.decoded(now)


def test_batches_of_several_sizes_tell_what_does_not_depend_on_it() -> None:
    assert TIMES.fixed == pytest.approx(FIXED)
    assert TIMES.of(8) == pytest.approx(FIXED + 8 * EACH)


def test_as_long_as_all_were_of_one_size_half_of_the_time_is_taken_for_fixed() -> None:
    times = seen(4, 4, 4)
    assert times.fixed == pytest.approx((FIXED + 4 * EACH) / 2)
    assert times.of(4) == pytest.approx(FIXED + 4 * EACH)


def test_old_batches_are_forgotten() -> None:
    times = seen(1, 8)
    for _ in range(200):
        times = times.after(1, 1.0).after(3, 1.0)
    assert times.fixed == pytest.approx(1.0, rel=1e-2)


def test_times_of_more_blocks_are_as_many_times_as_long() -> None:
    assert TIMES.through(12).fixed == pytest.approx(12 * FIXED)
    assert TIMES.through(12).of(5) == pytest.approx(12 * TIMES.of(5))


def test_a_session_is_expected_after_its_usual_time() -> None:
    assert away(0.02, 0.02).due(100.005) == pytest.approx(0.015)


def test_one_that_is_late_is_expected_soon_and_one_that_is_very_late_no_more() -> None:
    session = away(0.02)
    assert 0 < (session.due(100.02) or 0) < 0.02
    assert session.due(100.0 + AWAY_MOST * 0.02 + 0.001) is None


def test_nothing_is_known_of_a_session_before_its_second_decode() -> None:
    assert Absence().due(100.0) is None
    assert Absence().back(1.0).decoded(100.0).due(100.0) is None


def test_half_of_the_sessions_wait_for_the_other_half_that_is_nearly_here() -> None:
    assert pause(4, [0.010, 0.008, 0.011, 0.009], 0.0, TIMES) == Pause(0.011, 4)


def test_many_do_not_wait_for_one_straggler() -> None:
    assert pause(7, [0.012], 0.0, TIMES) is None
    assert pause(7, [0.02, 0.001], 0.0, TIMES) == Pause(0.001, 1)


def test_nobody_waits_for_sessions_that_are_far_away() -> None:
    assert pause(1, [0.08, 0.09], 0.0, TIMES) is None


def test_all_pauses_before_a_batch_take_no_longer_than_the_others_could_cost() -> None:
    assert pause(1, [0.01] * 7, 0.0, TIMES) is not None
    assert pause(1, [0.01] * 7, PAUSE_MOST * FIXED, TIMES) is None


def test_nobody_waits_before_anything_is_known() -> None:
    assert pause(1, [], 0.0, TIMES) is None
    assert pause(1, [0.01], 0.0, BatchTimes()) is None


def test_sessions_whose_tokens_come_one_after_the_other_share_a_batch(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with open_engine(watched, 1000) as engine:
            sessions = [engine.reserve(16, ALL) for _ in range(3)]
            for session in sessions:
                await one_step(engine, session, random_hidden(1), 0)
            watched.batches.clear()
            monkeypatch.setattr(queue, "pause", lambda waiting, *_: Pause(60, 3 - waiting) if waiting < 3 else None)

            async def decode(engine: Engine, session: Reservation) -> None:
                await one_step(engine, session, random_hidden(1), 1)

            async with trio.open_nursery() as nursery:
                for count, session in enumerate(sessions, 1):
                    nursery.start_soon(decode, engine, session)
                    if count < len(sessions):
                        await until_waiting(engine, count)
            assert watched.batches == [[1, 1, 1]]

    run(main)


def test_a_prompt_ends_the_wait(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with open_engine(watched, 1000) as engine:
            decoding, new = engine.reserve(16, ALL), engine.reserve(64, ALL)
            monkeypatch.setattr(queue, "pause", lambda *_: Pause(60, 5))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one_step, engine, decoding, random_hidden(1), 0)
                await until_waiting(engine, 1)
                nursery.start_soon(one_step, engine, new, random_hidden(40), 0)
            assert sorted(watched.batches[0]) == [1, 40]

    run(main)


def test_an_engine_learns_what_its_batches_of_decodes_take(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[BatchTimes] = []
    monkeypatch.setattr(queue, "pause", lambda _waiting, _due, _waited, times: known.append(times))

    async def main() -> None:
        async with open_engine(watched, 1000) as engine:
            session = engine.reserve(64, ALL)
            await one_step(engine, session, random_hidden(40), 0)
            for at in (40, 41):
                await one_step(engine, session, random_hidden(1), at)
        assert [times.of(1) > 0 for times in known] == [False, True], "a prompt tells nothing of decodes"

    run(main)
