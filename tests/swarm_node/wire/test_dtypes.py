"""Number formats on the network: what they cost, and what they lose."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import UsageError
from swarm_node.client.session import History
from swarm_node.wire.dtypes import DtypeLike, decode, encode, token_bytes, wire_named
from swarm_node.wire.messages import WireDtype
from swarm_node.wire.settings import PREFIX_TOKENS, WIRE_SCALED

SIZES = st.integers(1, 3 * WIRE_SCALED)


def states(tokens: int, hidden_size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(tokens, hidden_size, generator=torch.Generator().manual_seed(seed))


def carried(hidden: torch.Tensor, wire: WireDtype) -> torch.Tensor:
    data = encode(hidden, wire)
    assert len(data) == len(hidden) * token_bytes(hidden.shape[1], wire)
    return decode(data, len(hidden), hidden.shape[1], wire)


@given(tokens=st.integers(1, 5), hidden_size=SIZES, seed=st.integers(0, 9), size=st.sampled_from([1e-30, 1.0, 1e30]))
def test_in_8_bits_no_value_is_off_by_more_than_a_255th_of_the_largest_beside_it(
    tokens: int, hidden_size: int, seed: int, size: float
) -> None:
    hidden = states(tokens, hidden_size, seed) * size
    for came, sent in zip(carried(hidden, "int8").split(WIRE_SCALED, 1), hidden.split(WIRE_SCALED, 1), strict=True):
        assert ((came - sent).abs().amax(dim=1) <= sent.abs().amax(dim=1) / 250).all()


def test_a_large_value_leaves_those_of_other_scales_alone() -> None:
    hidden = states(1, 2 * WIRE_SCALED)
    spoilt = hidden.clone()
    spoilt[0, 0] = 1e6
    assert torch.equal(carried(spoilt, "int8")[:, WIRE_SCALED:], carried(hidden, "int8")[:, WIRE_SCALED:])


def test_nothing_stays_nothing() -> None:
    assert not carried(torch.zeros(2, WIRE_SCALED + 1), "int8").any()


def test_8_bits_take_little_more_than_a_quarter_of_float32() -> None:
    assert token_bytes(4096, "int8") < 0.26 * token_bytes(4096, "float32")


@pytest.mark.parametrize("wire", ["bfloat16", "float16"])
def test_a_rounded_state_arrives_as_it_was_rounded(wire: WireDtype) -> None:
    hidden = states(3, 10)
    assert torch.equal(carried(hidden, wire), hidden.to(getattr(torch, wire)))


@pytest.mark.parametrize("given", ["int4", "fp16", torch.float64, torch.uint8])
def test_a_format_that_there_is_not_is_refused(given: DtypeLike) -> None:
    with pytest.raises(UsageError, match="choose one of auto, float32, bfloat16, float16, int8"):
        wire_named(given)


def test_a_format_is_given_as_torch_and_transformers_write_it() -> None:
    assert wire_named(torch.bfloat16) == wire_named("torch.bfloat16") == wire_named("bfloat16") == "bfloat16"
    assert wire_named(torch.int8) == wire_named("int8") == "int8"
    assert wire_named("auto") is wire_named(None) is None


def test_what_was_computed_from_other_numbers_has_another_name() -> None:
    named = []
    for wire in (None, "int8"):
        history = History(wire)
        history.append(states(PREFIX_TOKENS, 4))
        named.append(history.prefix_keys(PREFIX_TOKENS))
    assert named[0] != named[1]
