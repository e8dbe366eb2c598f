"""The engine when room runs out, sessions leave, steps fail, and when it ends."""

from __future__ import annotations

import threading

import pytest
import torch
import trio

from routing.errors import CacheFull, SwarmError
from routing.span import Span
from swarm_node.compute.span import BlockSpan
from swarm_node.engine.book import CacheBook
from swarm_node.engine.engine import open_engine
from tests.swarm_node.watched import (
    ALL,
    WIDTH,
    Watched,
    alone,
    assert_close,
    gate_shut,
    one_step,
    random_hidden,
    run,
    until_waiting,
)


def test_cache_is_reserved_up_to_its_capacity_and_no_further(blocks: BlockSpan) -> None:
    async def main() -> None:
        async with open_engine(blocks, 100) as engine:
            first = engine.reserve(20, ALL)
            assert (engine.capacity_tokens, engine.free_tokens, engine.running) == (100, 20, 1)
            with pytest.raises(CacheFull, match="room for 20 block-tokens and the session needs 24"):
                engine.reserve(6, ALL)
            second = engine.reserve(10, Span(1, 3))
            assert (engine.free_tokens, engine.running) == (0, 2)
            first.release()
            first.release()
            assert (engine.free_tokens, engine.running) == (80, 1)
            second.release()
            assert (engine.free_tokens, engine.running) == (100, 0)

    run(main)


def test_a_released_session_gives_its_memory_back_only_after_its_step(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 100) as engine, trio.open_nursery() as nursery:
            reservation = engine.reserve(10, ALL)
            failed = trio.Event()

            async def stepping() -> None:
                with pytest.raises(SwarmError, match="the session has ended"):
                    await one_step(engine, reservation, random_hidden(2), 0)
                failed.set()

            async with gate_shut(watched):
                nursery.start_soon(stepping)
                await watched.has_entered()
                reservation.release()
                assert engine.free_tokens == 60
            await failed.wait()
            assert (engine.free_tokens, engine.running) == (100, 0)
            assert watched.caches[0].token_elements() == {}
            with pytest.raises(SwarmError, match="the session has ended"):
                await one_step(engine, reservation, random_hidden(1), 0)

    run(main)


def test_release_fails_the_steps_that_wait(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 100) as engine, trio.open_nursery() as nursery:
            busy, leaving = engine.reserve(10, ALL), engine.reserve(10, ALL)
            failed = trio.Event()

            async def waiting() -> None:
                with pytest.raises(SwarmError, match="the session has ended"):
                    await one_step(engine, leaving, random_hidden(2), 0)
                failed.set()

            async with gate_shut(watched):
                nursery.start_soon(one_step, engine, busy, random_hidden(1), 0)
                await watched.has_entered()
                nursery.start_soon(waiting)
                await until_waiting(engine, 2)
                leaving.release()
                assert engine.free_tokens == 60
                await failed.wait()  # while the other batch is still running
        assert watched.batches == [[1]]

    run(main)


def test_a_cancelled_step_that_waits_is_never_run(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 100) as engine, trio.open_nursery() as nursery:
            busy, leaving = engine.reserve(10, ALL), engine.reserve(10, ALL)
            async with gate_shut(watched):
                nursery.start_soon(one_step, engine, busy, random_hidden(1), 0)
                await watched.has_entered()
                async with trio.open_nursery() as impatient:
                    impatient.start_soon(one_step, engine, leaving, random_hidden(5), 0)
                    await until_waiting(engine, 2)
                    impatient.cancel_scope.cancel()
            await one_step(engine, leaving, random_hidden(3), 0)
        assert watched.batches == [[1], [3]]

    run(main)


def test_a_session_goes_on_after_a_step_was_cancelled_while_it_ran(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        hidden = random_hidden(8)
        async with open_engine(watched, 100) as engine:
            reservation = engine.reserve(10, ALL)
            await one_step(engine, reservation, hidden[:4], 0)
            await watched.has_entered()
            async with gate_shut(watched), trio.open_nursery() as impatient:
                impatient.start_soon(one_step, engine, reservation, random_hidden(2, seed=1), 4)
                await watched.has_entered()
                impatient.cancel_scope.cancel()
            output = await one_step(engine, reservation, hidden[4:], 4)
        assert_close(output, alone(blocks, hidden)[4:])

    run(main)


def test_a_cancelled_long_prompt_stops_after_the_slice_that_runs(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 10_000) as engine:
            reservation = engine.reserve(2000, ALL)
            async with gate_shut(watched), trio.open_nursery() as impatient:
                impatient.start_soon(one_step, engine, reservation, random_hidden(2000), 0)
                await watched.has_entered()
                impatient.cancel_scope.cancel()
            await one_step(engine, reservation, random_hidden(1), 0)
        assert watched.batches == [[512], [1]]

    run(main)


def test_a_step_that_fails_in_the_blocks_fails_alone(
    watched: Watched, blocks: BlockSpan, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        watched.poison = 7.0
        outcomes: dict[str, object] = {}

        async with open_engine(watched, 1000) as engine, trio.open_nursery() as nursery:
            reservations = {name: engine.reserve(8, ALL) for name in ("busy", "good", "bad", "fine")}

            async def one(name: str, hidden: torch.Tensor) -> None:
                try:
                    outcomes[name] = await one_step(engine, reservations[name], hidden, 0)
                except SwarmError as error:
                    outcomes[name] = str(error)

            async with gate_shut(watched):
                nursery.start_soon(one, "busy", random_hidden(1))
                await watched.has_entered()
                nursery.start_soon(one, "good", random_hidden(3, 1))
                nursery.start_soon(one, "bad", torch.full((2, WIDTH), 7.0))
                nursery.start_soon(one, "fine", random_hidden(2, 2))
                await until_waiting(engine, 4)
        assert outcomes["bad"] == "the node failed on this step (RuntimeError)"
        assert_close(outcomes["good"], alone(blocks, random_hidden(3, 1)))
        assert_close(outcomes["fine"], alone(blocks, random_hidden(2, 2)))

    run(main)
    assert "running them one by one" in caplog.text


def test_the_engine_lives_on_after_a_failure(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        watched.poison = 7.0
        async with open_engine(watched, 1000) as engine:
            reservation = engine.reserve(8, ALL)
            with pytest.raises(SwarmError):
                await one_step(engine, reservation, torch.full((2, WIDTH), 7.0), 0)
            output = await one_step(engine, reservation, random_hidden(2), 0)
        assert_close(output, alone(blocks, random_hidden(2)))

    run(main)


def test_numbers_that_are_not_finite_harm_nobody_else(blocks: BlockSpan) -> None:
    async def main() -> None:
        async with open_engine(blocks, 1000) as engine, trio.open_nursery() as nursery:
            good, bad = engine.reserve(8, ALL), engine.reserve(8, ALL)
            nursery.start_soon(one_step, engine, bad, torch.full((3, WIDTH), float("nan")), 0)
            output = await one_step(engine, good, random_hidden(3), 0)
        assert_close(output, alone(blocks, random_hidden(3)))

    run(main)


def test_what_a_batch_computed_arrives_although_the_engine_fails_right_after_it(
    blocks: BlockSpan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        hidden = random_hidden(2)
        async with open_engine(blocks, 100) as engine:
            monkeypatch.delattr(CacheBook, "ran")
            assert_close(await one_step(engine, engine.reserve(8, ALL), hidden, 0), alone(blocks, hidden))
            with pytest.raises(SwarmError, match="the engine failed"):
                await engine.watch()

    run(main)
    assert "the engine's thread failed" in caplog.text


def test_leaving_the_engine_fails_what_waits_and_ends_its_thread(watched: Watched) -> None:
    async def main() -> None:
        failed = trio.Event()
        async with trio.open_nursery() as nursery:
            async with open_engine(watched, 1000) as engine:

                async def stepping() -> None:
                    with pytest.raises(SwarmError, match="the node is stopping"):
                        await one_step(engine, engine.reserve(8, ALL), random_hidden(1), 0)
                    failed.set()

                watched.gate.clear()
                nursery.start_soon(stepping)
                await watched.has_entered()
                nursery.start_soon(_open_gate_when, failed, watched)
            assert failed.is_set()
            with pytest.raises(SwarmError, match="the node is stopping"):
                engine.reserve(1, ALL)
        assert "swarm-engine" not in {thread.name for thread in threading.enumerate()}

    async def _open_gate_when(failed: trio.Event, watched: Watched) -> None:
        await failed.wait()
        watched.gate.set()

    run(main)


def test_cancelling_everything_still_ends_the_thread(watched: Watched) -> None:
    async def main() -> None:
        with trio.CancelScope() as scope:
            async with open_engine(watched, 1000) as engine, trio.open_nursery() as nursery:
                nursery.start_soon(one_step, engine, engine.reserve(8, ALL), random_hidden(1), 0)
                await watched.has_entered()
                scope.cancel()
        assert "swarm-engine" not in {thread.name for thread in threading.enumerate()}

    run(main)
