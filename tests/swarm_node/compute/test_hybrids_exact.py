"""Models whose blocks keep states, cut in three, write what transformers writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from swarm_node.compute.cache import Row
from swarm_node.compute.settings import REPLAYED_TOKENS
from swarm_node.testing import LocalChain, Talk, prompt
from tests.models import HYBRID, make_model
from tests.swarm_node.yardstick import transformers_says

NEW_TOKENS = 12
PROMPTS = (1, 7, 40)
CHUNK = 16
USUAL = ("qwen3_5_text", "lfm2", "jamba")
"""The others are slow only for being many."""
KINDS = [name if name in USUAL else pytest.param(name, marks=pytest.mark.slow) for name in HYBRID]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", KINDS)
def test_sessions_that_share_batches_each_write_what_transformers_writes(
    name: str, device: str, tmp_path: Path
) -> None:
    directory = make_model(name, tmp_path)
    prompts = [prompt(length) for length in PROMPTS]
    expected = transformers_says(directory, prompts, NEW_TOKENS)
    chain = LocalChain(directory, device=device)
    talks = [chain.open(tokens) for tokens in prompts]
    chain.generate(talks, NEW_TOKENS, CHUNK)
    for talk, (tokens, logits) in zip(talks, expected, strict=True):
        assert talk.tokens == tokens
        torch.testing.assert_close(torch.stack(talk.logits), logits, rtol=1e-3, atol=1e-3 * float(logits.abs().max()))


def verify(chain: LocalChain, talk: Talk, right: list[int], beside: Talk) -> None:
    """Guess five tokens, of which those of ``right`` are, in a step beside another session's."""
    known = len(talk.tokens)
    talk.tokens += [*right, *[5, 6, 7, 8, 9][len(right) :]]
    logits = chain.feed([(talk, len(talk.tokens) - talk.seen), (beside, 1)])
    beside.tokens.append(int(logits[1].argmax()))
    del talk.tokens[known + len(right) :]
    talk.roll_back(known + len(right) - 1)


@pytest.mark.parametrize("name", KINDS)
def test_guesses_that_were_wrong_leave_no_trace(name: str, device: str, tmp_path: Path) -> None:
    directory = make_model(name, tmp_path)
    (expected, _), (others, _) = transformers_says(directory, [prompt(20), prompt(9)], 10)
    chain = LocalChain(directory, device=device)
    talk, beside = chain.open(prompt(20)), chain.open(prompt(9))
    chain.generate([talk, beside], 2, CHUNK)

    verify(chain, talk, [], beside)
    verify(chain, talk, expected[22:24], beside)
    verify(chain, talk, expected[24:27], beside)
    chain.generate([talk, beside], 3, CHUNK)

    assert talk.tokens == expected
    assert beside.tokens == others[: len(beside.tokens)]


@pytest.mark.parametrize("name", ["qwen3_5_text", pytest.param("jamba", marks=pytest.mark.slow)])
def test_long_sessions_and_new_ones_share_batches(name: str, device: str, tmp_path: Path) -> None:
    directory = make_model(name, tmp_path)
    prompts = [prompt(300), prompt(2), prompt(150), prompt(64)]
    expected = transformers_says(directory, prompts, NEW_TOKENS)
    chain = LocalChain(directory, device=device)
    talks = [chain.open(tokens, max_tokens=400) for tokens in prompts]
    chain.generate(talks, NEW_TOKENS, 80)
    assert [talk.tokens for talk in talks] == [tokens for tokens, _logits in expected]


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    chain = LocalChain(make_model("qwen3_5_text", tmp_path))
    span = chain.spans[0]
    hidden = torch.randn(12, span.hidden_size, generator=torch.Generator().manual_seed(0))
    cache, other, small = span.new_cache(12), span.new_cache(12), span.new_cache(1)
    whole = span.step([Row(other, 12)], hidden)

    span.step([Row(cache, 6)], hidden[:6])
    cache.roll_back(4)
    with pytest.raises(ValueError, match="do not fit into a cache"):
        chain.spans[1].step([Row(cache, 2), Row(small, 2)], hidden[4:8])
    rest = span.step([Row(cache, 8)], hidden[4:])

    torch.testing.assert_close(rest, whole[4:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["qwen3_5_text", "nemotron_h", "lfm2", "mamba"])
def test_a_session_takes_what_was_reckoned(name: str, tmp_path: Path) -> None:
    chain = LocalChain(make_model(name, tmp_path))
    tokens = 64  # of which the cache is made in one go
    for span in chain.spans:
        cache = span.new_cache(tokens)
        for _step in range(2):
            span.step([Row(cache, tokens // 2)], torch.zeros(tokens // 2, span.hidden_size))
        kept = sum(tensor.untyped_storage().nbytes() for tensor in cache.tensors())
        assert kept == span.shapes.session_bytes(tokens, span.span, torch.float32)


def test_blocks_that_forget_their_state_in_longer_steps_go_token_by_token(tmp_path: Path) -> None:
    assert LocalChain(make_model("jamba", tmp_path / "jamba")).spans[0].token_by_token
    assert not LocalChain(make_model("lfm2", tmp_path / "lfm2")).spans[0].token_by_token


def test_only_so_much_of_a_step_can_be_taken_back(tmp_path: Path) -> None:
    chain = LocalChain(make_model("lfm2", tmp_path))
    talk = chain.open(prompt(REPLAYED_TOKENS + 3), max_tokens=100)
    chain.feed([(talk, 2)])
    chain.feed([(talk, REPLAYED_TOKENS + 1)])
    assert [length for length in range(len(talk.tokens) + 2) if talk.caches[0].reaches(length)] == [
        0,
        2,
        len(talk.tokens),
    ]
