"""The engine: one thread that runs the steps of many sessions together, exactly and in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import torch
import trio
import trio.testing

from routing.errors import CacheFull, ProtocolError
from routing.span import Span
from swarm_node.compute.span import BlockSpan
from swarm_node.engine.engine import Engine, open_engine
from swarm_node.engine.speed import measure
from swarm_node.model.loading import remote_blocks
from swarm_node.testing import LocalChain, prompt
from tests.models import make_model
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
from tests.swarm_node.yardstick import transformers_says


def test_steps_compute_what_the_blocks_compute(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        hidden = random_hidden(9)
        async with open_engine(watched, 1000) as engine:
            reservation = engine.reserve(16, ALL)
            parts = [await one_step(engine, reservation, hidden[:6], 0)]
            parts += [await one_step(engine, reservation, hidden[at : at + 1], at) for at in range(6, 9)]
        assert_close(torch.cat(parts), alone(blocks, hidden))
        assert watched.batches == [[6], [1], [1], [1]]

    run(main)


def test_sessions_that_wait_together_run_in_one_batch(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        results: dict[int, torch.Tensor] = {}

        async def one(engine: Engine, number: int) -> None:
            results[number] = await one_step(engine, engine.reserve(16, ALL), random_hidden(number, number), 0)

        async with open_engine(watched, 1000) as engine, trio.open_nursery() as nursery, gate_shut(watched):
            nursery.start_soon(one, engine, 1)
            await watched.has_entered()
            for number in (2, 3, 4):
                nursery.start_soon(one, engine, number)
            await until_waiting(engine, 4)
        assert [sorted(batch) for batch in watched.batches] == [[1], [2, 3, 4]]
        for number, result in results.items():
            assert_close(result, alone(blocks, random_hidden(number, number)))

    run(main)


def test_sessions_on_other_parts_of_the_span_run_apart(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        async with open_engine(watched, 1000) as engine, trio.open_nursery() as nursery:
            outputs: dict[Span, torch.Tensor] = {}

            async def one(span: Span) -> None:
                outputs[span] = await one_step(engine, engine.reserve(8, span), random_hidden(3), 0)

            for span in (Span(0, 2), Span(2, 4), Span(1, 3)):
                nursery.start_soon(one, span)
        assert sorted(str(span) for span in watched.spans) == ["0:2", "1:3", "2:4"]
        for span, output in outputs.items():
            assert_close(output, alone(blocks, random_hidden(3), span))

    run(main)


def test_a_decode_waits_for_one_slice_of_a_long_prompt_at_most(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        prompt = random_hidden(1200)
        results: dict[str, torch.Tensor] = {}

        async with open_engine(watched, 10_000) as engine, trio.open_nursery() as nursery:
            talking, reading = engine.reserve(40, ALL), engine.reserve(1200, ALL)
            await one_step(engine, talking, random_hidden(20), 0)
            await watched.has_entered()

            async def one(name: str, step: Callable[[], Awaitable[torch.Tensor]]) -> None:
                results[name] = await step()

            async with gate_shut(watched):
                nursery.start_soon(one, "prompt", lambda: one_step(engine, reading, prompt, 0))
                await watched.has_entered()
                nursery.start_soon(one, "decode", lambda: one_step(engine, talking, random_hidden(1), 20))
                await until_waiting(engine, 2)
        assert watched.batches[:3] == [[20], [512], [1, 64]]
        assert sum(sum(batch) for batch in watched.batches) == 20 + 1 + 1200
        assert_close(results["prompt"], alone(blocks, prompt))
        assert_close(results["decode"], alone(blocks, torch.cat([random_hidden(20), random_hidden(1)]))[20:])

    run(main)


def test_a_prompt_keeps_to_small_slices_while_another_session_is_decoding(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm_node.engine.queue.DECODES_RECENT_SECONDS", 1000.0)

    async def main() -> None:
        async with open_engine(watched, 10_000) as engine:
            talking, reading = engine.reserve(40, ALL), engine.reserve(150, ALL)
            await one_step(engine, talking, random_hidden(1), 0)
            await one_step(engine, reading, random_hidden(150), 0)
            talking.release()
            await one_step(engine, reading, random_hidden(150), 0)
        assert watched.batches == [[1], [64], [64], [22], [150]]

    run(main)


def test_a_prompt_alone_runs_in_large_slices(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        prompt = random_hidden(600)
        async with open_engine(watched, 10_000) as engine:
            output = await one_step(engine, engine.reserve(600, ALL), prompt, 0)
        assert_close(output, alone(blocks, prompt))
        assert watched.batches == [[512], [88]]

    run(main)


def test_a_step_that_is_sent_again_gives_the_same_answer(blocks: BlockSpan) -> None:
    async def main() -> None:
        hidden = random_hidden(8)
        async with open_engine(blocks, 1000) as engine:
            reservation = engine.reserve(16, ALL)
            await one_step(engine, reservation, hidden[:5], 0)
            first = await one_step(engine, reservation, hidden[5:], 5)
            again = await one_step(engine, reservation, hidden[5:], 5)
            assert_close(first, again)
            await one_step(engine, reservation, random_hidden(9, seed=1), 5)  # wrong guesses
            assert_close(await one_step(engine, reservation, hidden[5:], 5), first)

    run(main)


def test_a_step_that_does_not_fit_is_a_protocol_error(blocks: BlockSpan) -> None:
    async def main() -> None:
        async with open_engine(blocks, 1000) as engine:
            reservation = engine.reserve(8, ALL)
            with pytest.raises(ProtocolError, match="position 3 came after 0 tokens"):
                await one_step(engine, reservation, random_hidden(1), 3)
            with pytest.raises(ProtocolError, match="outside of the reserved 8"):
                await one_step(engine, reservation, random_hidden(9), 0)
            with pytest.raises(ProtocolError, match="outside"):
                await one_step(engine, reservation, random_hidden(1), -1)
            with pytest.raises(ProtocolError, match="shape"):
                await one_step(engine, reservation, random_hidden(0), 0)
            with pytest.raises(ProtocolError, match="shape"):
                await one_step(engine, reservation, torch.zeros(1, WIDTH + 1), 0)
            with pytest.raises(ProtocolError, match="blocks 2:5 are not among the hosted 0:4"):
                engine.reserve(8, Span(2, 5))
            assert (await one_step(engine, reservation, random_hidden(2), 0)).shape == (2, WIDTH)

    run(main)


def test_steps_of_one_session_run_in_the_order_they_came(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        hidden, outputs = random_hidden(6), {}
        async with open_engine(watched, 1000) as engine, trio.open_nursery() as nursery:
            reservation = engine.reserve(8, ALL)

            async def one(position: int) -> None:
                outputs[position] = await one_step(engine, reservation, hidden[position : position + 2], position)

            async with gate_shut(watched):
                for waiting, position in enumerate((0, 2, 4), start=1):
                    nursery.start_soon(one, position)
                    await until_waiting(engine, waiting)
        assert_close(torch.cat([outputs[at] for at in (0, 2, 4)]), alone(blocks, hidden))
        assert watched.batches == [[2], [2], [2]]

    run(main)


def test_the_engine_leaves_the_number_of_threads_alone(blocks: BlockSpan) -> None:
    async def main() -> None:
        before = torch.get_num_threads()
        async with open_engine(blocks, 1000) as engine:
            await one_step(engine, engine.reserve(8, ALL), random_hidden(1), 0)
        assert torch.get_num_threads() == before

    run(main)


def test_speed_is_measured_per_block(blocks: BlockSpan) -> None:
    speed = measure(blocks)
    assert 0 < speed.prefill_seconds < 0.1
    assert 0 < speed.decode_seconds < 1


def test_a_whole_model_generates_through_engines(tmp_path: Path) -> None:
    directory = make_model("qwen3", tmp_path)
    chain = LocalChain(directory)
    tokens = prompt(10)
    ((expected, _logits),) = transformers_says(directory, [tokens], 8)
    through = remote_blocks(chain.ends)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            engines = [await stack.enter_async_context(open_engine(span, 1000)) for span in chain.spans]
            hops = [(engine, engine.reserve(32, span.span)) for engine, span in zip(engines, chain.spans, strict=True)]
            said, fed = list(tokens), 0
            while len(said) < len(tokens) + 8:
                new = torch.tensor([said[fed:]])
                hidden = chain.ends.get_input_embeddings()(new)[0]
                for engine, reservation in hops:
                    hidden = await one_step(engine, reservation, hidden, fed)
                through.forward_blocks = lambda _, out=hidden: out[None]
                with torch.inference_mode():
                    logits = chain.ends(new, use_cache=False).logits[0, -1]  # type: ignore[operator]
                fed = len(said)
                said.append(int(logits.argmax()))
            assert said == expected

    run(main)


def test_blocks_change_between_two_batches_and_sessions_go_on(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        kept = Span(2, 4)
        hidden = random_hidden(6)
        async with open_engine(watched, 1000) as engine, trio.open_nursery() as nursery:
            staying = engine.reserve(16, kept)
            engine.reserve(16, ALL)
            async with gate_shut(watched):
                nursery.start_soon(one_step, engine, staying, hidden[:5], 0)
                await watched.has_entered()
                nursery.start_soon(engine.change_blocks, lambda held: held.keep(kept))
                await trio.testing.wait_all_tasks_blocked()
                assert watched.span == ALL
            output = await one_step(engine, staying, hidden[5:], 5)
            assert watched.span == kept
            assert [held.span for held in engine.outside(kept)] == [ALL]
            with pytest.raises(ProtocolError, match="0:4 are not among the hosted 2:4"):
                engine.reserve(16, ALL)
        assert_close(output, alone(blocks, hidden, kept)[5:])

    run(main)


def test_an_engine_made_smaller_admits_nobody_until_there_is_room_again(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 100) as engine:
            held = engine.reserve(20, ALL)
            engine.resize(60)
            assert (engine.overdrawn, engine.free_tokens) == (True, 0)
            with pytest.raises(CacheFull):
                engine.reserve(1, ALL)
            held.release()
            assert (engine.overdrawn, engine.free_tokens) == (False, 60)

    run(main)
