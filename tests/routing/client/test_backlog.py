"""What a client knows of the prompts ahead of its own."""

import pytest

from routing.client.backlog import Backlog
from tests.routing.nodes import node, swarm

RECORD_SECONDS = 20.0


def ahead(backlog: Backlog, now: float, told: int = 0, made_at: float = 0.0) -> int:
    """Block-tokens ahead of a prompt at a node that takes 10 ms for one and announced ``told`` at ``made_at``."""
    view = node("a", 0, 6, backlog_tokens=told, prefill_seconds=0.01, expires_at=made_at + RECORD_SECONDS)
    (adjusted,) = backlog.adjusted(swarm(view), now).nodes
    return adjusted.backlog_tokens


def test_a_node_works_off_what_it_announced() -> None:
    assert [ahead(Backlog(RECORD_SECONDS), now, told=100) for now in (0.0, 0.5, 5.0)] == [100, 50, 0]


def test_own_prompts_count_until_a_record_made_after_them() -> None:
    backlog = Backlog(RECORD_SECONDS)
    backlog.sent("a", 300, now=1.0)
    assert ahead(backlog, now=2.0) == 200
    assert ahead(backlog, now=2.0, told=70, made_at=2.0) == 70


def test_prompts_queue_up_behind_each_other() -> None:
    backlog = Backlog(RECORD_SECONDS)
    backlog.sent("a", 100, now=1.0)
    backlog.sent("a", 100, now=1.5)
    assert ahead(backlog, now=1.5) == 150


def test_a_prompt_that_was_refused_or_whose_session_has_ended_does_not_count() -> None:
    backlog = Backlog(RECORD_SECONDS)
    backlog.sent("a", 100, now=1.0)
    backlog.sent("a", 50, now=1.0)
    backlog.over("a", 100)
    assert ahead(backlog, now=1.0) == 50
    backlog.over("a", 100)
    backlog.over("b", 100)
    assert ahead(backlog, now=1.0) == 50


@pytest.mark.parametrize("now", [-5.0, 0.0])
def test_a_clock_that_is_behind_the_nodes_adds_nothing(now: float) -> None:
    assert ahead(Backlog(RECORD_SECONDS), now, told=100) == 100


def test_what_a_node_tells_counts_more_than_an_older_record_and_what_was_sent_before() -> None:
    backlog = Backlog(RECORD_SECONDS)
    backlog.sent("a", 500, now=1.0)
    backlog.told("a", 200, now=2.0)
    assert ahead(backlog, now=2.5, told=900, made_at=1.5) == 150
    assert ahead(backlog, now=4.0, told=900, made_at=3.0) == 800
