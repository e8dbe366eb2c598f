"""Names of beginnings."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from swarm_node.client.session import History
from swarm_node.wire.prefix import Beginning, common_tokens, keys_within, more_keys, tokens_of
from swarm_node.wire.settings import PREFIX_KEY_BYTES, PREFIX_KEYS_MAX, PREFIX_TOKENS


def states(tokens: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(tokens, 2, generator=torch.Generator().manual_seed(seed))


def test_every_full_chunk_ends_a_beginning_that_has_a_name() -> None:
    assert more_keys(b"", states(PREFIX_TOKENS - 1)) == b""
    keys = more_keys(b"", states(3 * PREFIX_TOKENS + 5))
    assert len(keys) == 3 * PREFIX_KEY_BYTES
    assert tokens_of(keys) == 3 * PREFIX_TOKENS
    assert keys_within(keys, 2 * PREFIX_TOKENS + 1) == keys[: 2 * PREFIX_KEY_BYTES]


def test_very_long_sequences_are_named_up_to_a_bound() -> None:
    keys = more_keys(b"", states((PREFIX_KEYS_MAX + 3) * PREFIX_TOKENS))
    assert len(keys) == PREFIX_KEYS_MAX * PREFIX_KEY_BYTES
    assert more_keys(keys, states((PREFIX_KEYS_MAX + 3) * PREFIX_TOKENS)) == keys


def test_the_same_chunk_after_another_beginning_has_another_name() -> None:
    one, other = states(2 * PREFIX_TOKENS), states(2 * PREFIX_TOKENS)
    other[0, 0] += 1
    for chunk in range(2):
        name = slice(chunk * PREFIX_KEY_BYTES, (chunk + 1) * PREFIX_KEY_BYTES)
        assert more_keys(b"", one)[name] != more_keys(b"", other)[name]


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_two_sequences_have_in_common_what_they_begin_with(shared: int, one: int, other: int) -> None:
    beginning = states(shared * PREFIX_TOKENS)
    keys = [
        more_keys(b"", torch.cat([beginning, states(chunks * PREFIX_TOKENS, seed)]))
        for seed, chunks in ((1, one), (2, other))
    ]
    assert common_tokens(*keys) == shared * PREFIX_TOKENS


def test_different_owners_have_nothing_in_common() -> None:
    keys = more_keys(b"", states(PREFIX_TOKENS))
    assert Beginning("alice", keys).common(Beginning("alice", keys)) == PREFIX_TOKENS
    assert Beginning("alice", keys).common(Beginning("bob", keys)) == 0


def test_a_history_that_grew_and_was_cropped_has_the_names_of_what_it_holds() -> None:
    history = History()
    whole, other = states(300), states(300, seed=1)
    for start in range(0, 300, 7):
        history.append(whole[start : start + 7])
        history.prefix_keys(history.length)
    assert history.prefix_keys(300) == more_keys(b"", whole)
    history.crop(150)
    history.append(other[:100])
    assert history.prefix_keys(250) == more_keys(b"", torch.cat([whole[:150], other[:100]]))
    assert history.prefix_keys(130) == more_keys(b"", whole[:130])


def test_names_do_not_depend_on_how_the_numbers_are_laid_out() -> None:
    whole = states(PREFIX_TOKENS).to(torch.bfloat16)
    assert more_keys(b"", whole.T.contiguous().T) == more_keys(b"", whole)
