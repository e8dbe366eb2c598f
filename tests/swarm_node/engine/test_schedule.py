"""Which waiting steps run next."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from routing.span import Span
from swarm_node.engine.schedule import BatchLimits, next_batch
from swarm_node.wire.messages import is_decode

LIMITS = BatchLimits(decode_rows=4, prefill_beside_decodes=64, prefill_alone=512)
ALL = Span(0, 4)


@dataclass
class Waiting:
    tokens: int
    arrival: int
    span: Span = ALL
    done: int = 0
    turn: int = -1

    def __post_init__(self) -> None:
        self.turn = self.arrival if self.turn < 0 else self.turn


def _chosen(*waiting: Waiting, decodes_expected: bool = False) -> list[tuple[int, int]]:
    """Arrival and tokens of each step in the next batch."""
    return [(step.arrival, taken) for step, taken in next_batch(waiting, LIMITS, decodes_expected=decodes_expected)]


def test_nothing_waits_and_nothing_runs() -> None:
    assert _chosen() == []


def test_decodes_of_all_sessions_share_a_batch() -> None:
    assert _chosen(Waiting(1, 1), Waiting(5, 2), Waiting(1, 3)) == [(1, 1), (2, 5), (3, 1)]


def test_a_prompt_takes_little_beside_decodes() -> None:
    assert _chosen(Waiting(1000, 1), Waiting(1, 2)) == [(2, 1), (1, 64)]


def test_a_prompt_takes_little_while_a_decode_is_on_its_way_back() -> None:
    assert _chosen(Waiting(1000, 1), decodes_expected=True) == [(1, 64)]


def test_a_prompt_alone_takes_much() -> None:
    assert _chosen(Waiting(1000, 1)) == [(1, 512)]


def test_short_prompts_share_the_budget_in_order_of_arrival() -> None:
    assert _chosen(Waiting(300, 2), Waiting(200, 1), Waiting(100, 3)) == [(1, 200), (2, 300), (3, 12)]


def test_a_prompt_goes_on_where_it_stopped() -> None:
    assert _chosen(Waiting(600, 1, done=512, turn=9)) == [(1, 88)]


def test_a_prompt_is_not_starved_by_more_decodes_than_fit() -> None:
    decodes = [Waiting(1, arrival) for arrival in range(2, 12)]
    assert _chosen(Waiting(100, 1), *decodes)[-1] == (1, 64)


def test_spans_take_turns() -> None:
    long = Waiting(2000, 1, Span(0, 2))
    other = Waiting(1, 2, Span(2, 4))
    assert _chosen(long, other) == [(1, 512)]
    long.done, long.turn = 512, 3
    assert _chosen(long, other) == [(2, 1)]


_steps = st.lists(
    st.tuples(st.integers(1, 1200), st.sampled_from([Span(0, 4), Span(0, 2), Span(2, 4)])), min_size=1, max_size=12
)


@given(_steps)
def test_every_step_is_through_in_the_end_and_batches_keep_their_bounds(steps: list[tuple[int, Span]]) -> None:
    waiting = [Waiting(tokens, number, span) for number, (tokens, span) in enumerate(steps)]
    turn = len(waiting)
    for _ in range(sum(tokens for tokens, _ in steps) + len(steps)):
        if not waiting:
            break
        batch = next_batch(waiting, LIMITS, decodes_expected=False)
        assert len({step.span for step, _ in batch}) == 1
        assert sum(taken for step, taken in batch if not is_decode(step.tokens)) <= LIMITS.prefill_alone
        assert all(0 < taken <= step.tokens - step.done for step, taken in batch)
        for step, taken in batch:
            turn += 1
            step.done, step.turn = step.done + taken, turn
        waiting = [step for step in waiting if step.done < step.tokens]
    assert not waiting
