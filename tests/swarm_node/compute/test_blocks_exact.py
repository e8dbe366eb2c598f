"""Every architecture, cut in three, writes what transformers writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from swarm_node.compute.lean import LEAN_MODELS
from swarm_node.compute.span import CachePath
from swarm_node.testing import LocalChain, prompt
from tests.models import ALSO, EXACT, HYBRID, INDEXED, WRAPPERS, make_model
from tests.swarm_node.yardstick import transformers_says

NEW_TOKENS = 12
PROMPTS = (1, 7, 40)
CHUNK = 16
STATEFUL = ("qwen3_5_text", "lfm2", "jamba")
"""Of those that keep states; the others are slow only for being many."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _compare(directory: Path, chain: LocalChain) -> None:
    prompts = [prompt(length) for length in PROMPTS]
    expected = transformers_says(directory, prompts, NEW_TOKENS)
    talks = [chain.open(tokens) for tokens in prompts]
    chain.generate(talks, NEW_TOKENS, CHUNK)
    for talk, (tokens, logits) in zip(talks, expected, strict=True):
        assert talk.tokens == tokens
        torch.testing.assert_close(torch.stack(talk.logits), logits, rtol=1e-3, atol=1e-3 * float(logits.abs().max()))


@pytest.mark.parametrize("name", [*EXACT, *(pytest.param(name, marks=pytest.mark.slow) for name in ALSO)])
def test_sessions_that_share_batches_each_write_what_transformers_writes(
    name: str, device: str, tmp_path: Path
) -> None:
    directory = make_model(name, tmp_path)
    _compare(directory, LocalChain(directory, device=device))


@pytest.mark.parametrize(
    "name",
    [
        *STATEFUL,
        *(pytest.param(name, marks=pytest.mark.slow) for name in HYBRID if name not in STATEFUL),
        *INDEXED,
        *WRAPPERS,
    ],
)
def test_models_that_keep_states_index_their_keys_or_also_see_write_what_transformers_writes(
    name: str, device: str, tmp_path: Path
) -> None:
    directory = make_model(name, tmp_path)
    _compare(directory, LocalChain(directory, device=device))


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2", "gpt2", "mixtral", "gpt_oss", "llama4_text"])
def test_models_that_run_flattened_are_exact_in_rectangles_too(name: str, device: str, tmp_path: Path) -> None:
    directory = make_model(name, tmp_path)
    _compare(directory, LocalChain(directory, CachePath.RECTANGLE, device))


@pytest.mark.parametrize("name", sorted(LEAN_MODELS))
def test_models_that_run_lean_are_exact_by_their_own_blocks_too(name: str, device: str, tmp_path: Path) -> None:
    directory = make_model(name, tmp_path)
    _compare(directory, LocalChain(directory, CachePath.FLATTENED, device))


@pytest.mark.parametrize("name", [*EXACT, "deepseek_v2", "deepseek_v32", "gpt_oss", "llama4_text"])
def test_tokens_that_were_rolled_back_leave_no_trace(name: str, device: str, tmp_path: Path) -> None:
    directory = make_model(name, tmp_path)
    chain = LocalChain(directory, device=device)
    tokens = prompt(20)
    plain, troubled, other = chain.open(tokens), chain.open(tokens), chain.open(prompt(9))
    chain.generate([plain], 6, CHUNK)

    chain.generate([troubled, other], 2, CHUNK)
    troubled.tokens += [5, 6, 7]
    chain.feed([(troubled, 4)])
    del troubled.tokens[-3:]
    troubled.roll_back(15)
    chain.generate([troubled, other], 4, CHUNK)

    assert troubled.tokens == plain.tokens


@pytest.mark.parametrize(
    "name",
    ["llama", "gemma2", "llama4_text", "gpt_oss", "qwen3_5_text", pytest.param("jamba", marks=pytest.mark.slow)],
)
def test_long_sessions_and_new_ones_share_batches(name: str, device: str, tmp_path: Path) -> None:
    directory = make_model(name, tmp_path)
    prompts = [prompt(300), prompt(2), prompt(150), prompt(64)]
    expected = transformers_says(directory, prompts, NEW_TOKENS)
    chain = LocalChain(directory, device=device)
    talks = [chain.open(tokens, max_tokens=400) for tokens in prompts]
    chain.generate(talks, NEW_TOKENS, 80)
    assert [talk.tokens for talk in talks] == [tokens for tokens, _logits in expected]


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_oss"])
def test_tokens_verified_together_are_those_that_come_one_by_one(name: str, device: str, tmp_path: Path) -> None:
    chain = LocalChain(make_model(name, tmp_path), device=device)
    tokens = prompt(40)
    alone, verified, other = chain.open(tokens), chain.open(tokens), chain.open(prompt(90), max_tokens=128)
    chain.generate([alone], 10, CHUNK)

    chain.generate([verified, other], 1, 100)
    verified.tokens += alone.tokens[41:48]
    logits, _of_the_other = chain.feed([(verified, 8), (other, 1)])
    verified.tokens.append(int(logits.argmax()))
    chain.generate([verified], 1, CHUNK)

    assert verified.tokens == alone.tokens


def test_logits_tell_a_wrong_model_from_the_right_one(tmp_path: Path) -> None:
    directory = make_model("llama", tmp_path / "one")
    other = make_model("llama", tmp_path / "other", seed=1)
    with pytest.raises(AssertionError):
        _compare(directory, LocalChain(other))
