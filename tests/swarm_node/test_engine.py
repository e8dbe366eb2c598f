"""The engine: one thread, many sessions."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import torch
import trio

from routing.errors import CacheFull, ProtocolError, SwarmError
from routing.span import Span
from swarm_node.block_span import BlockSpan, Row
from swarm_node.blocks import load_span, remote_blocks
from swarm_node.cache import SequenceCache
from swarm_node.engine import Engine, measure, open_engine
from swarm_node.model_source import ModelSource
from tests.models import make_model
from tests.swarm_node.local_chain import LocalChain, prompt, transformers_says

WIDTH = 48
ALL = Span(0, 4)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> BlockSpan:
    torch.set_num_threads(1)
    source = ModelSource.open(str(make_model("llama", tmp_path_factory.mktemp("models") / "llama")))
    return load_span(source, ALL, dtype=torch.float32)


class Watched:
    """Real blocks that note every batch, wait at a gate, and fail when a test says so."""

    def __init__(self, blocks: BlockSpan) -> None:
        self._blocks = blocks
        self.span, self.hidden_size, self.device = blocks.span, blocks.hidden_size, blocks.device
        self.batches: list[list[int]] = []
        self.spans: list[Span | None] = []
        self.caches: list[SequenceCache] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.poison: float | None = None

    def new_cache(self, max_tokens: int) -> SequenceCache:
        self.caches.append(self._blocks.new_cache(max_tokens))
        return self.caches[-1]

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, span: Span | None = None) -> torch.Tensor:
        self.batches.append([row.tokens for row in rows])
        self.spans.append(span)
        self.entered.release()
        assert self.gate.wait(10)
        if self.poison is not None and (hidden == self.poison).any():
            raise RuntimeError("poisoned")
        return self._blocks.step(rows, hidden, span)

    async def has_entered(self) -> None:
        await trio.to_thread.run_sync(self.entered.acquire)


@pytest.fixture
def watched(blocks: BlockSpan) -> Watched:
    return Watched(blocks)


def _run(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        with trio.fail_after(30):
            await main()

    trio.run(limited)


@asynccontextmanager
async def _gate_shut(watched: Watched) -> AsyncIterator[None]:
    """Batches stop inside the blocks until the end of this block."""
    watched.gate.clear()
    try:
        yield
    finally:
        watched.gate.set()


def _hidden(tokens: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(tokens, WIDTH, generator=torch.Generator().manual_seed(seed))


def _expected(blocks: BlockSpan, hidden: torch.Tensor, span: Span = ALL) -> torch.Tensor:
    return blocks.step([Row(blocks.new_cache(len(hidden)), len(hidden))], hidden, span)


def _close(output: object, expected: torch.Tensor) -> None:
    """Equal but for rounding: batches of other shapes add up in another order."""
    assert isinstance(output, torch.Tensor)
    torch.testing.assert_close(output, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


async def _until_waiting(engine: Engine, steps: int) -> None:
    """Let the other tasks run until so many steps have come in."""
    while sum(len(reservation.steps) for reservation in engine._reservations) < steps:
        await trio.lowlevel.checkpoint()


def test_steps_compute_what_the_blocks_compute(blocks: BlockSpan) -> None:
    async def main() -> None:
        hidden = _hidden(9)
        async with open_engine(blocks, 1000) as engine:
            reservation = engine.reserve(16, ALL)
            parts = [await engine.step(reservation, hidden[:6], 0)]
            parts += [await engine.step(reservation, hidden[at : at + 1], at) for at in range(6, 9)]
            meter = engine.meter
        _close(torch.cat(parts), _expected(blocks, hidden))
        assert (meter.batches, meter.steps, meter.tokens) == (4, 4, 9)
        assert meter.decode_seconds is not None

    _run(main)


def test_sessions_that_wait_together_run_in_one_batch(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        results: dict[int, torch.Tensor] = {}

        async def one(engine: Engine, number: int) -> None:
            results[number] = await engine.step(engine.reserve(16, ALL), _hidden(number, number), 0)

        async with open_engine(watched, 1000) as engine, trio.open_nursery() as nursery, _gate_shut(watched):
            nursery.start_soon(one, engine, 1)
            await watched.has_entered()
            for number in (2, 3, 4):
                nursery.start_soon(one, engine, number)
            await _until_waiting(engine, 4)
        assert [sorted(batch) for batch in watched.batches] == [[1], [2, 3, 4]]
        for number, result in results.items():
            _close(result, _expected(blocks, _hidden(number, number)))

    _run(main)


def test_sessions_on_other_parts_of_the_span_run_apart(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        async with open_engine(watched, 1000) as engine, trio.open_nursery() as nursery:
            outputs: dict[Span, torch.Tensor] = {}

            async def one(span: Span) -> None:
                outputs[span] = await engine.step(engine.reserve(8, span), _hidden(3), 0)

            for span in (Span(0, 2), Span(2, 4), Span(1, 3)):
                nursery.start_soon(one, span)
        assert sorted(str(span) for span in watched.spans) == ["0:2", "1:3", "2:4"]
        for span, output in outputs.items():
            _close(output, _expected(blocks, _hidden(3), span))

    _run(main)


def test_a_decode_waits_for_one_slice_of_a_long_prompt_at_most(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        prompt = _hidden(1200)
        results: dict[str, torch.Tensor] = {}

        async with open_engine(watched, 10_000) as engine, trio.open_nursery() as nursery:
            talking, reading = engine.reserve(40, ALL), engine.reserve(1200, ALL)
            await engine.step(talking, _hidden(20), 0)
            await watched.has_entered()

            async def one(name: str, step: Callable[[], Awaitable[torch.Tensor]]) -> None:
                results[name] = await step()

            async with _gate_shut(watched):
                nursery.start_soon(one, "prompt", lambda: engine.step(reading, prompt, 0))
                await watched.has_entered()
                nursery.start_soon(one, "decode", lambda: engine.step(talking, _hidden(1), 20))
                await _until_waiting(engine, 2)
        assert watched.batches[:3] == [[20], [512], [1, 64]]
        assert sum(sum(batch) for batch in watched.batches) == 20 + 1 + 1200
        _close(results["prompt"], _expected(blocks, prompt))
        _close(results["decode"], _expected(blocks, torch.cat([_hidden(20), _hidden(1)]))[20:])

    _run(main)


def test_a_prompt_keeps_to_small_slices_while_another_session_is_decoding(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm_node.engine.DECODES_RECENT_SECONDS", 1000.0)

    async def main() -> None:
        async with open_engine(watched, 10_000) as engine:
            talking, reading = engine.reserve(40, ALL), engine.reserve(150, ALL)
            await engine.step(talking, _hidden(1), 0)
            await engine.step(reading, _hidden(150), 0)
            talking.release()
            await engine.step(reading, _hidden(150), 0)
        assert watched.batches == [[1], [64], [64], [22], [150]]

    _run(main)


def test_a_prompt_alone_runs_in_large_slices(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        prompt = _hidden(600)
        async with open_engine(watched, 10_000) as engine:
            output = await engine.step(engine.reserve(600, ALL), prompt, 0)
        _close(output, _expected(blocks, prompt))
        assert watched.batches == [[512], [88]]

    _run(main)


def test_a_step_that_is_sent_again_gives_the_same_answer(blocks: BlockSpan) -> None:
    async def main() -> None:
        hidden = _hidden(8)
        async with open_engine(blocks, 1000) as engine:
            reservation = engine.reserve(16, ALL)
            await engine.step(reservation, hidden[:5], 0)
            first = await engine.step(reservation, hidden[5:], 5)
            again = await engine.step(reservation, hidden[5:], 5)
            _close(first, again)
            await engine.step(reservation, _hidden(9, seed=1), 5)  # wrong guesses
            _close(await engine.step(reservation, hidden[5:], 5), first)

    _run(main)


def test_a_step_that_does_not_fit_is_a_protocol_error(blocks: BlockSpan) -> None:
    async def main() -> None:
        async with open_engine(blocks, 1000) as engine:
            reservation = engine.reserve(8, ALL)
            with pytest.raises(ProtocolError, match="position 3 came after 0 tokens"):
                await engine.step(reservation, _hidden(1), 3)
            with pytest.raises(ProtocolError, match="outside of the reserved 8"):
                await engine.step(reservation, _hidden(9), 0)
            with pytest.raises(ProtocolError, match="outside"):
                await engine.step(reservation, _hidden(1), -1)
            with pytest.raises(ProtocolError, match="shape"):
                await engine.step(reservation, _hidden(0), 0)
            with pytest.raises(ProtocolError, match="shape"):
                await engine.step(reservation, torch.zeros(1, WIDTH + 1), 0)
            with pytest.raises(ProtocolError, match="blocks 2:5 are not among the hosted 0:4"):
                engine.reserve(8, Span(2, 5))
            assert (await engine.step(reservation, _hidden(2), 0)).shape == (2, WIDTH)

    _run(main)


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

    _run(main)


def test_a_released_session_gives_its_memory_back_only_after_its_step(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 100) as engine, trio.open_nursery() as nursery:
            reservation = engine.reserve(10, ALL)
            failed = trio.Event()

            async def stepping() -> None:
                with pytest.raises(SwarmError, match="the session has ended"):
                    await engine.step(reservation, _hidden(2), 0)
                failed.set()

            async with _gate_shut(watched):
                nursery.start_soon(stepping)
                await watched.has_entered()
                reservation.release()
                assert engine.free_tokens == 60
            await failed.wait()
            assert (engine.free_tokens, engine.running) == (100, 0)
            assert watched.caches[0].token_elements() == {}
            with pytest.raises(SwarmError, match="the session has ended"):
                await engine.step(reservation, _hidden(1), 0)

    _run(main)


def test_release_fails_the_steps_that_wait(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 100) as engine, trio.open_nursery() as nursery:
            busy, leaving = engine.reserve(10, ALL), engine.reserve(10, ALL)
            failed = trio.Event()

            async def waiting() -> None:
                with pytest.raises(SwarmError, match="the session has ended"):
                    await engine.step(leaving, _hidden(2), 0)
                failed.set()

            async with _gate_shut(watched):
                nursery.start_soon(engine.step, busy, _hidden(1), 0)
                await watched.has_entered()
                nursery.start_soon(waiting)
                await _until_waiting(engine, 2)
                leaving.release()
                assert engine.free_tokens == 60
                await failed.wait()  # while the other batch is still running
        assert watched.batches == [[1]]

    _run(main)


def test_a_cancelled_step_that_waits_is_never_run(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 100) as engine, trio.open_nursery() as nursery:
            busy, leaving = engine.reserve(10, ALL), engine.reserve(10, ALL)
            async with _gate_shut(watched):
                nursery.start_soon(engine.step, busy, _hidden(1), 0)
                await watched.has_entered()
                async with trio.open_nursery() as impatient:
                    impatient.start_soon(engine.step, leaving, _hidden(5), 0)
                    await _until_waiting(engine, 2)
                    impatient.cancel_scope.cancel()
            await engine.step(leaving, _hidden(3), 0)
        assert watched.batches == [[1], [3]]

    _run(main)


def test_a_session_goes_on_after_a_step_was_cancelled_while_it_ran(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        hidden = _hidden(8)
        async with open_engine(watched, 100) as engine:
            reservation = engine.reserve(10, ALL)
            await engine.step(reservation, hidden[:4], 0)
            await watched.has_entered()
            async with _gate_shut(watched), trio.open_nursery() as impatient:
                impatient.start_soon(engine.step, reservation, _hidden(2, seed=1), 4)
                await watched.has_entered()
                impatient.cancel_scope.cancel()
            output = await engine.step(reservation, hidden[4:], 4)
        _close(output, _expected(blocks, hidden)[4:])

    _run(main)


def test_a_cancelled_long_prompt_stops_after_the_slice_that_runs(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 10_000) as engine:
            reservation = engine.reserve(2000, ALL)
            async with _gate_shut(watched), trio.open_nursery() as impatient:
                impatient.start_soon(engine.step, reservation, _hidden(2000), 0)
                await watched.has_entered()
                impatient.cancel_scope.cancel()
            await engine.step(reservation, _hidden(1), 0)
        assert watched.batches == [[512], [1]]

    _run(main)


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
                    outcomes[name] = await engine.step(reservations[name], hidden, 0)
                except SwarmError as error:
                    outcomes[name] = str(error)

            async with _gate_shut(watched):
                nursery.start_soon(one, "busy", _hidden(1))
                await watched.has_entered()
                nursery.start_soon(one, "good", _hidden(3, 1))
                nursery.start_soon(one, "bad", torch.full((2, WIDTH), 7.0))
                nursery.start_soon(one, "fine", _hidden(2, 2))
                await _until_waiting(engine, 4)
        assert outcomes["bad"] == "the node failed on this step (RuntimeError)"
        _close(outcomes["good"], _expected(blocks, _hidden(3, 1)))
        _close(outcomes["fine"], _expected(blocks, _hidden(2, 2)))

    _run(main)
    assert "running them one by one" in caplog.text


def test_the_engine_lives_on_after_a_failure(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        watched.poison = 7.0
        async with open_engine(watched, 1000) as engine:
            reservation = engine.reserve(8, ALL)
            with pytest.raises(SwarmError):
                await engine.step(reservation, torch.full((2, WIDTH), 7.0), 0)
            output = await engine.step(reservation, _hidden(2), 0)
        _close(output, _expected(blocks, _hidden(2)))

    _run(main)


def test_numbers_that_are_not_finite_harm_nobody_else(blocks: BlockSpan) -> None:
    async def main() -> None:
        async with open_engine(blocks, 1000) as engine, trio.open_nursery() as nursery:
            good, bad = engine.reserve(8, ALL), engine.reserve(8, ALL)
            nursery.start_soon(engine.step, bad, torch.full((3, WIDTH), float("nan")), 0)
            output = await engine.step(good, _hidden(3), 0)
        _close(output, _expected(blocks, _hidden(3)))

    _run(main)


def test_steps_of_one_session_run_in_the_order_they_came(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        hidden, outputs = _hidden(6), {}
        async with open_engine(watched, 1000) as engine, trio.open_nursery() as nursery:
            reservation = engine.reserve(8, ALL)

            async def one(position: int) -> None:
                outputs[position] = await engine.step(reservation, hidden[position : position + 2], position)

            async with _gate_shut(watched):
                for waiting, position in enumerate((0, 2, 4), start=1):
                    nursery.start_soon(one, position)
                    await _until_waiting(engine, waiting)
        _close(torch.cat([outputs[at] for at in (0, 2, 4)]), _expected(blocks, hidden))
        assert watched.batches == [[2], [2], [2]]

    _run(main)


def test_leaving_the_engine_fails_what_waits_and_ends_its_thread(watched: Watched) -> None:
    async def main() -> None:
        failed = trio.Event()
        async with trio.open_nursery() as nursery:
            async with open_engine(watched, 1000) as engine:

                async def stepping() -> None:
                    with pytest.raises(SwarmError, match="the node is stopping"):
                        await engine.step(engine.reserve(8, ALL), _hidden(1), 0)
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

    _run(main)


def test_cancelling_everything_still_ends_the_thread(watched: Watched) -> None:
    async def main() -> None:
        with trio.CancelScope() as scope:
            async with open_engine(watched, 1000) as engine, trio.open_nursery() as nursery:
                nursery.start_soon(engine.step, engine.reserve(8, ALL), _hidden(1), 0)
                await watched.has_entered()
                scope.cancel()
        assert "swarm-engine" not in {thread.name for thread in threading.enumerate()}

    _run(main)


def test_the_engine_leaves_the_number_of_threads_alone(blocks: BlockSpan) -> None:
    async def main() -> None:
        before = torch.get_num_threads()
        async with open_engine(blocks, 1000) as engine:
            await engine.step(engine.reserve(8, ALL), _hidden(1), 0)
        assert torch.get_num_threads() == before

    _run(main)


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
                    hidden = await engine.step(reservation, hidden, fed)
                through.forward_blocks = lambda _, out=hidden: out[None]
                with torch.inference_mode():
                    logits = chain.ends(new, use_cache=False).logits[0, -1]  # type: ignore[operator]
                fed = len(said)
                said.append(int(logits.argmax()))
            assert said == expected

    _run(main)
