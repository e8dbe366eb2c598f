"""An engine keeps the beginnings of sessions, for those that begin the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import trio

from routing.errors import CacheFull
from routing.span import Span
from swarm_node.compute.cache import SequenceCache
from swarm_node.compute.loading import load_span
from swarm_node.compute.span import BlockSpan, CachePath
from swarm_node.engine.engine import Engine, open_engine
from swarm_node.engine.kept_prefixes import KeptPrefix, KeptPrefixes
from swarm_node.engine.reservation import Reservation
from swarm_node.engine.settings import PREFIXES_MAX
from swarm_node.model.source import ModelSource
from swarm_node.settings import PREFIX_IDLE_SECONDS
from swarm_node.wire.prefix import Beginning, more_keys
from swarm_node.wire.settings import PREFIX_TOKENS
from tests.models import make_model
from tests.swarm_node.watched import ALL, Watched, alone, assert_close, one_step, random_hidden, run

LONG = random_hidden(200)
ROOM = 256
"""Tokens per block that the memory of a session of 200 tokens has room for."""


def keys_of(hidden: torch.Tensor) -> bytes:
    return more_keys(b"", hidden)


def named(hidden: torch.Tensor, owner: str = "alice") -> Beginning:
    return Beginning(owner, keys_of(hidden))


async def converse(engine: Engine, hidden: torch.Tensor, owner: str = "alice", span: Span = ALL) -> Reservation:
    """A session that has ended after it sent ``hidden`` in one step, from where the engine held less."""
    reservation = engine.reserve(ROOM, span, named(hidden, owner))
    held = min(reservation.held_tokens, len(hidden) - 1)
    await one_step(engine, reservation, hidden[held:], held)
    reservation.release(keys_of(hidden))
    return reservation


def test_a_session_that_begins_like_one_that_has_ended_computes_only_the_rest(
    watched: Watched, blocks: BlockSpan
) -> None:
    async def main() -> None:
        async with open_engine(watched, 10_000) as engine:
            await converse(engine, LONG)
            assert (engine.free_tokens, engine.kept_tokens) == (10_000, ROOM * 4)
            longer = torch.cat([LONG[:150], random_hidden(30, seed=1)])
            again = engine.reserve(300, ALL, named(longer))
            assert again.held_tokens == 128
            output = await one_step(engine, again, longer[128:], 128)
        assert watched.batches == [[200], [52]]
        assert_close(output, alone(blocks, longer)[128:])

    run(main)


def test_a_step_may_begin_before_what_is_held(watched: Watched, blocks: BlockSpan) -> None:
    async def main() -> None:
        async with open_engine(watched, 10_000) as engine:
            await converse(engine, LONG)
            other = torch.cat([LONG[:128], random_hidden(9, seed=1)])
            again = engine.reserve(300, ALL, named(LONG))
            assert_close(await one_step(engine, again, other[70:], 70), alone(blocks, other)[70:])
            # What was kept is as it was.
            third = engine.reserve(300, ALL, named(LONG))
            assert_close(await one_step(engine, third, LONG[192:], 192), alone(blocks, LONG)[192:])

    run(main)


def test_a_session_that_goes_back_behind_what_others_reuse_does_not_change_it(
    watched: Watched, blocks: BlockSpan
) -> None:
    async def main() -> None:
        async with open_engine(watched, 10_000) as engine:
            first = engine.reserve(300, ALL, named(LONG))
            await one_step(engine, first, LONG, 0)
            second = engine.reserve(300, ALL, named(LONG))
            other = random_hidden(100, seed=1)
            assert_close(await one_step(engine, first, other, 50), alone(blocks, torch.cat([LONG[:50], other]))[50:])
            assert second.held_tokens == 192
            assert_close(await one_step(engine, second, LONG[192:], 192), alone(blocks, LONG)[192:])

    run(main)


def test_sessions_at_the_same_time_share_what_both_begin_with(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 10_000) as engine:
            running = engine.reserve(300, ALL, named(LONG))
            await one_step(engine, running, LONG[:100], 0)
            assert engine.reserve(300, ALL, named(LONG)).held_tokens == 0, "its prompt is not through"
            await one_step(engine, running, LONG[100:], 100)
            assert engine.reserve(300, ALL, named(LONG)).held_tokens == 192

    run(main)


def test_nothing_is_kept_of_a_session_that_says_nothing_of_itself(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 10_000) as engine:
            silent = engine.reserve(300, ALL)
            await one_step(engine, silent, LONG, 0)
            silent.release()
            boasting = engine.reserve(300, ALL, Beginning("alice"))
            await one_step(engine, boasting, LONG[:70], 0)
            boasting.release(keys_of(LONG))
            assert engine.reserve(300, ALL, named(LONG)).held_tokens == 64, "it has sent no more than that"

    run(main)


def test_one_clients_beginning_is_not_anothers(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 10_000) as engine:
            await converse(engine, LONG, "alice")
            assert engine.reserve(300, ALL, named(LONG, "bob")).held_tokens == 0
            assert engine.reserve(300, ALL, named(LONG, "alice")).held_tokens == 192

    run(main)


def test_a_longer_beginning_takes_the_place_of_the_one_that_it_continues(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 100_000) as engine:
            await converse(engine, LONG[:100])
            await converse(engine, LONG)
            assert engine.kept_tokens == ROOM * 4
            await converse(engine, LONG[:130])
            assert engine.kept_tokens == ROOM * 4
            assert engine.reserve(300, ALL, named(LONG)).held_tokens == 192

    run(main)


def test_a_session_on_some_of_the_blocks_reuses_what_one_on_all_of_them_left(
    watched: Watched, blocks: BlockSpan
) -> None:
    async def main() -> None:
        async with open_engine(watched, 100_000) as engine:
            await converse(engine, LONG)
            part = Span(0, 2)
            again = engine.reserve(300, part, named(LONG))
            assert again.held_tokens == 192
            assert_close(await one_step(engine, again, LONG[192:], 192), alone(blocks, LONG, part)[192:])
            assert set(again.cache.token_elements()) == {0, 1}
            again.release(keys_of(LONG))
            await converse(engine, random_hidden(200, seed=1), span=part)
            assert engine.reserve(300, ALL, named(random_hidden(200, seed=1))).held_tokens == 0

    run(main)


def test_what_is_kept_gives_way_to_sessions_the_least_recently_used_first(watched: Watched) -> None:
    async def main() -> None:
        prompts = [random_hidden(200, seed) for seed in range(3)]

        def held(engine: Engine, number: int) -> int:
            reservation = engine.reserve(1, Span(0, 1), Beginning("alice", keys_of(prompts[number])))
            reservation.release()
            return reservation.held_tokens

        async with open_engine(watched, 4 * ROOM * 4) as engine:
            for prompt in prompts:
                await converse(engine, prompt)
            assert (engine.free_tokens, engine.kept_tokens) == (4 * ROOM * 4, 3 * ROOM * 4)
            assert held(engine, 0), "used once more"
            large = engine.reserve(2 * ROOM + 1, ALL)
            assert engine.kept_tokens == ROOM * 4
            assert held(engine, 0)
            assert not held(engine, 1)
            with pytest.raises(CacheFull, match=f"room for {(2 * ROOM - 1) * 4} block-tokens"):
                engine.reserve(2 * ROOM, ALL)
            large.release()

    run(main)


def test_the_only_room_for_a_session_may_be_where_its_own_beginning_is_kept(
    watched: Watched, blocks: BlockSpan
) -> None:
    async def main() -> None:
        async with open_engine(watched, ROOM * 4) as engine:
            await converse(engine, LONG)
            again = engine.reserve(ROOM, ALL, named(LONG))
            assert (again.held_tokens, engine.free_tokens, engine.kept_tokens) == (192, 0, 0)
            assert_close(await one_step(engine, again, LONG[192:], 192), alone(blocks, LONG)[192:])

    run(main)


def test_a_small_session_is_charged_for_all_that_it_borrows_until_it_has_its_own(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 2 * ROOM * 4) as engine:
            await converse(engine, LONG)
            small = engine.reserve(70, ALL, named(LONG[:70]))
            assert (small.held_tokens, engine.free_tokens) == (64, ROOM * 4)
            await one_step(engine, small, LONG[64:70], 64)
            assert engine.free_tokens == (2 * ROOM - 70) * 4
            small.release()
            assert engine.free_tokens == 2 * ROOM * 4
            # Where that would be too much, it begins anew.
            assert engine.reserve(70, ALL, named(LONG[:70]), most=70 * 4).held_tokens == 0

    run(main)


def test_a_session_that_borrows_and_never_steps_gives_all_back(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 2 * ROOM * 4) as engine:
            await converse(engine, LONG)
            engine.reserve(70, ALL, named(LONG)).release()
            assert engine.free_tokens == 2 * ROOM * 4

    run(main)


def test_an_engine_made_smaller_drops_what_no_longer_fits(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 2 * ROOM * 4) as engine:
            await converse(engine, LONG)
            engine.resize(ROOM * 4)
            assert engine.kept_tokens == ROOM * 4
            engine.resize(ROOM * 4 - 1)
            assert engine.kept_tokens == 0
            small = engine.reserve(70, ALL, named(LONG[:70]))
            await one_step(engine, small, LONG[:70], 0)
            small.release()
            assert engine.kept_tokens == 70 * 4

    run(main)


def test_a_node_that_moves_keeps_nothing_of_the_blocks_that_it_leaves(watched: Watched) -> None:
    async def main() -> None:
        async with open_engine(watched, 100_000) as engine:
            await converse(engine, LONG)
            await converse(engine, random_hidden(200, seed=1), span=Span(2, 4))
            await engine.change_blocks(lambda held: held.keep(Span(2, 4)))
            assert engine.kept_tokens == ROOM * 2
            assert engine.reserve(300, Span(2, 4), named(LONG)).held_tokens == 0

    run(main)


def test_what_nobody_uses_is_forgotten_though_nobody_comes(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm_node.engine.kept_prefixes.PREFIX_IDLE_SECONDS", 0.1)

    async def main() -> None:
        async with open_engine(watched, 100_000) as engine:
            await converse(engine, LONG)
            while engine.kept_tokens:
                await trio.sleep(0.01)

    run(main)


def test_a_node_keeps_the_last_sessions_and_no_more() -> None:
    kept = KeptPrefixes()
    first = named(random_hidden(PREFIX_TOKENS, seed=0))
    for seed in range(PREFIXES_MAX + 1):
        beginning = named(random_hidden(PREFIX_TOKENS, seed=seed))
        kept.add(KeptPrefix(beginning, ALL, {}, used_at=float(seed)), room=0)
    assert kept.find(first, ALL, 0.0) is None
    assert kept.find(beginning, ALL, 1000.0) is not None
    assert kept.forget(1.0 + PREFIX_IDLE_SECONDS) == 1.0
    assert kept.forget(999.0 + PREFIX_IDLE_SECONDS) == 1.0
    assert kept.forget(1000.0 + PREFIX_IDLE_SECONDS) is None


@pytest.mark.parametrize("name", ["phi3_long", "llama_dynamic"])
def test_a_model_whose_rotation_depends_on_length_reuses_only_where_it_does_not(name: str, tmp_path: Path) -> None:
    blocks = load_span(ModelSource.open(str(make_model(name, tmp_path))), ALL, dtype=torch.float32)
    assert blocks.new_cache(32).reusable
    assert not blocks.new_cache(33).reusable


def test_caches_that_cannot_be_reused_are_not_kept(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "new_cache", lambda max_tokens: SequenceCache(max_tokens, reusable=False))

    async def main() -> None:
        async with open_engine(watched, 100_000) as engine:
            await converse(engine, LONG)
            assert engine.kept_tokens == 0

    run(main)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("llama", CachePath.LEAN),
        ("gemma3_text", CachePath.FLATTENED),
        ("gpt_oss", CachePath.FLATTENED),
        ("bloom", CachePath.RECTANGLE),
        ("deepseek_v3", CachePath.RECTANGLE),
    ],
)
def test_reuse_computes_the_same_by_every_cache_path(name: str, path: CachePath, tmp_path: Path) -> None:
    source = ModelSource.open(str(make_model(name, tmp_path)))
    blocks = load_span(source, ALL, dtype=torch.float32)
    assert blocks.path is path

    async def main() -> None:
        async with open_engine(blocks, 100_000) as engine:
            await converse(engine, LONG)
            again = engine.reserve(300, ALL, named(LONG))
            assert again.held_tokens == 192
            assert_close(await one_step(engine, again, LONG[192:], 192), alone(blocks, LONG)[192:])

    run(main)
