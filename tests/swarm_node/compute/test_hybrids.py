"""What sessions keep in blocks with states: taken back, failed, reckoned. That they are exact: test_blocks_exact.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from routing import Span
from swarm_node.compute import load_span
from swarm_node.compute.cache import Row
from swarm_node.compute.settings import REPLAYED_TOKENS
from swarm_node.model import ModelSource
from swarm_node.testing import LocalChain, Talk, prompt
from tests.models import HYBRID, make_model
from tests.swarm_node.yardstick import transformers_says

CHUNK = 16
USUAL = ("qwen3_5_text", "lfm2", "jamba")
"""The others are slow only for being many."""
KINDS = [name if name in USUAL else pytest.param(name, marks=pytest.mark.slow) for name in HYBRID]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("name", "forgets"), [("jamba", True), ("mamba", True), ("lfm2", False), ("qwen3_5_text", False)]
)
def test_blocks_that_forget_their_state_in_longer_steps_go_token_by_token(
    name: str, forgets: bool, dtype: torch.dtype, tmp_path: Path
) -> None:
    source = ModelSource.open(str(make_model(name, tmp_path)))
    assert load_span(source, Span(0, source.blocks), dtype=dtype).token_by_token == forgets


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
