"""Swarms that lose servers, and swarms that get more jobs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.churn import PACES, main
from churn.day import day
from churn.rate import double
from churn.swarm import Swarm, Why
from churn.vanish import vanish
from routing.plan.cluster import ModelShape, Server
from routing.span import Span
from swarm_node.node.settings import LOAD_SECONDS, LOOK_SECONDS

MODEL = ModelShape(blocks=6, block_bytes=1, cache_bytes=0.5)


def swarm_of(*spans: Span, apart: float = 0.0) -> Swarm:
    """Servers that hold three blocks with the cache of one job each, long since loaded."""
    swarm = Swarm(MODEL, 0.01, random.Random(1), apart=apart)
    for number, span in enumerate(spans):
        swarm.add(Server(f"server{number}", 4.5, 0.1, 1.0), span, loaded=True)
    return swarm


@pytest.mark.parametrize("seed", [0, 9, 23])
def test_after_a_third_has_crashed_all_blocks_are_loaded_again_within_three_announcements(seed: int) -> None:
    pace = PACES[0]
    result = vanish(seed, pace)

    assert result is not None and not result.afresh
    assert 0 < result.covered <= 3 * pace.announce
    assert result.uncovered == 0


def test_all_start_afresh_only_once_the_records_have_faded() -> None:
    pace = PACES[0]
    result = vanish(22, pace)

    assert result is not None and result.afresh
    assert result.faded < result.covered <= pace.record + pace.look
    assert result.uncovered == 0


def test_whom_nobody_has_ever_reached_counts_as_there_until_its_record_fades() -> None:
    swarm = swarm_of(Span(0, 3), Span(3, 6), Span(0, 3), apart=1.0)
    swarm.advance(60)
    crashed = swarm.present[1]
    swarm.vanish(crashed)
    swarm.advance(crashed.expires)

    assert swarm.counts.moves[Why.RESCUE] == 0
    swarm.advance(crashed.expires + 2 * LOOK_SECONDS)
    assert swarm.counts.moves[Why.RESCUE] == 1


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_lost_announcements_alone_move_nobody(apart: float) -> None:
    swarm = swarm_of(Span(0, 3), Span(3, 6), Span(0, 3), apart=apart)
    swarm.advance(4 * 3600)

    assert sum(swarm.counts.moves.values()) == 0


def test_blocks_of_a_server_that_leaves_in_an_orderly_way_are_loaded_while_it_drains() -> None:
    swarm = swarm_of(Span(0, 3), Span(3, 6), Span(0, 3))
    swarm.advance(60)
    swarm.drain(swarm.present[1])
    swarm.advance(60 + 2 * LOOK_SECONDS + 0.1)

    assert swarm.counts.moves[Why.RESCUE] == 1 and not swarm.claimed().missing()
    swarm.advance(60 + 2 * LOOK_SECONDS + LOAD_SECONDS + 0.1)
    assert not swarm.served().missing()


@pytest.mark.slow
def test_volunteers_who_come_and_go_leave_no_block_by_moving() -> None:
    result = day(seed=0, factor=1.5, hours=0.5)

    assert result.joins > 0 and result.rescue_moves > 0
    assert result.uncovered == 0
    assert 0 < result.covered < 1 == result.suffices
    assert 1 <= result.ratio <= result.ratio_high


def test_when_jobs_come_twice_as_often_servers_move_to_where_a_central_plan_would_have_them() -> None:
    result = double(0)

    assert result is not None
    assert result.reserve_after > result.reserve_before
    assert result.moves > 0
    assert result.moved < 1.05 * result.central < result.unmoved


def test_everything_is_measured_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(swarms=1, days=1, hours=0.1, rates=1, seed=0, workers=1, out=tmp_path)

    told = " ".join(capsys.readouterr().out.split())
    assert "blocks could go missing in 1 of 1 swarms" in told
    assert "rate doubles in 1 swarms" in told
    assert {path.name for path in tmp_path.iterdir()} == {"vanish.csv", "day.csv", "rate.csv", "churn.png"}
