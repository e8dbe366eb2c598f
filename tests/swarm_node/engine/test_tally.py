"""What an engine counts of its batches."""

from __future__ import annotations

from swarm_node.engine.engine import open_engine
from swarm_node.engine.tally import Spread, Tally
from tests.swarm_node.watched import ALL, Watched, one_step, random_hidden, run


def test_a_value_counts_below_the_first_bound_that_it_does_not_exceed() -> None:
    spread = Spread((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 99.0):
        spread.add(value)
    assert spread.counts == [2, 1, 1]
    assert spread.sum == 102.0


def test_prompts_and_decodes_are_counted_apart_and_go_on_with_the_next_engine(watched: Watched) -> None:
    async def main() -> None:
        tally = Tally()
        for _ in range(2):
            async with open_engine(watched, 1000, tally) as engine:
                reservation = engine.reserve(64, ALL)
                await one_step(engine, reservation, random_hidden(40), 0)
                await one_step(engine, reservation, random_hidden(1), 40)
                assert engine.queued == 0
        assert (tally.prefill.steps, tally.prefill.tokens) == (2, 80)
        assert (tally.decode.steps, tally.decode.tokens) == (2, 2)
        assert sum(tally.rows.counts) == 4
        assert sum(tally.decode.seconds.counts) == sum(tally.prefill.seconds.counts) == 2

    run(main)
