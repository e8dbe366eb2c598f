"""A record says exactly what its node said; what a stranger makes up is refused, never believed and never fatal."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dht import NodeRecord
from dht.multiaddr import encode
from dht.peer_id import peer_id_of
from routing import NodeState, NodeView, Span
from routing.errors import ProtocolError

ALICE, BOB = peer_id_of(bytes(32)), peer_id_of(bytes(range(32)))
FIELDS = list(NodeRecord.model_fields)
counts = st.integers(0, 2**50)
seconds = st.floats(0, 3600)


def view(**changes: Any) -> NodeView:
    fields: dict[str, Any] = {
        "peer_id": ALICE,
        "addresses": (f"/ip4/192.0.2.7/tcp/31337/p2p/{ALICE}",),
        "state": NodeState.ONLINE,
        "span": Span(0, 12),
        "memory_bytes": 6 * 2**30,
        "block_bytes": 400 * 2**20,
        "token_bytes": 4096,
        "cache_tokens": 100_000,
        "free_tokens": 90_000,
        "prefill_seconds": 1.25e-4,
        "decode_seconds": 3.5e-3,
        "running": 3,
        "dtype": "bfloat16",
        "version": "0.1.0+g12ab.d20260101",
    }
    return NodeView(**{**fields, **changes})


def packed(**changes: Any) -> bytes:
    """A record with some of its fields replaced by whatever a stranger likes."""
    values = dict(zip(FIELDS, msgpack.unpackb(NodeRecord.from_view(view()).encode()), strict=True))
    return bytes(msgpack.packb(list({**values, **changes}.values())))


@given(
    st.builds(
        view,
        state=st.sampled_from(NodeState),
        span=st.tuples(st.integers(0, 1000), st.integers(1, 1000)).map(lambda pair: Span(pair[0], sum(pair))),
        memory_bytes=counts,
        block_bytes=counts,
        token_bytes=counts,
        state_tokens=counts,
        cache_tokens=st.just(2**50),
        free_tokens=counts,
        prefill_seconds=seconds,
        decode_seconds=seconds,
        running=st.integers(0, 2**20),
    )
)
def test_a_view_survives_its_record(original: NodeView) -> None:
    assert NodeRecord.decode(NodeRecord.from_view(original).encode()).to_view(ALICE) == original


def test_a_record_is_small() -> None:
    assert len(NodeRecord.from_view(view()).encode()) < 256


def test_only_the_first_addresses_are_published() -> None:
    addresses = tuple(f"/ip4/192.0.2.{number}/tcp/31337/p2p/{ALICE}" for number in range(1, 30))
    published = NodeRecord.from_view(view(addresses=addresses)).to_view(ALICE).addresses
    assert published == addresses[: len(published)]
    assert 1 < len(published) < len(addresses)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        NodeRecord.decode(data)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(FIELDS), json_like)
def test_any_value_in_any_field_is_refused_or_harmless(field: str, value: Any) -> None:
    try:
        believed = NodeRecord.decode(packed(**{field: value})).to_view(ALICE)
    except ProtocolError:
        return
    assert math.isfinite(believed.prefill_seconds) and believed.prefill_seconds >= 0
    assert 0 <= believed.free_tokens <= believed.cache_tokens <= 2**50
    NodeRecord.from_view(believed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 4),
        ("version", 0),
        ("version", "1"),
        ("version", True),
        ("state", 6),
        ("state", -1),
        ("start", 12),
        ("start", -1),
        ("end", 2**40),
        ("memory_bytes", -1),
        ("memory_bytes", 2**60),
        ("memory_bytes", "many"),
        ("free_tokens", 100_001),
        ("decode_seconds", math.nan),
        ("decode_seconds", math.inf),
        ("decode_seconds", -1e-9),
        ("decode_seconds", 1e9),
        ("prefill_seconds", "0.1"),
        ("running", 1.0),
        ("dtype", "float32\x1b[2J"),
        ("software", "\x1b[31m"),
        ("software", "1.0\n"),
        ("software", "9" * 1000),
        ("addresses", "/ip4/127.0.0.1/tcp/1"),
        ("addresses", [b"garbage"]),
        ("addresses", [encode("/unix/etc/passwd")]),
        ("addresses", [encode("/ip4/0.0.0.0/tcp/1")]),
        ("addresses", [encode("/ip4/192.0.2.7/tcp/1")] * 9),
        ("addresses", [encode("/dns/" + "a" * 200 + "/tcp/1")]),
        ("addresses", [encode(f"/ip4/192.0.2.7/tcp/1/p2p/{BOB}")]),
    ],
)
def test_a_field_out_of_bounds_is_refused(field: str, value: Any) -> None:
    NodeRecord.decode(packed())
    with pytest.raises(ProtocolError):
        NodeRecord.decode(packed(**{field: value}))


def test_a_record_with_a_field_too_many_or_too_few_is_refused() -> None:
    values = msgpack.unpackb(packed())
    for wrong in ([*values, 1], values[:-1], [], {"version": 1}, values[0]):
        with pytest.raises(ProtocolError):
            NodeRecord.decode(msgpack.packb(wrong))


def test_deeply_nested_data_is_refused() -> None:
    with pytest.raises(ProtocolError):
        NodeRecord.decode(b"\x91" * 2000)


def test_a_node_cannot_publish_the_address_of_another() -> None:
    with pytest.raises(ProtocolError, match="another peer"):
        NodeRecord.from_view(view(addresses=(f"/ip4/192.0.2.7/tcp/31337/p2p/{BOB}",)))


def test_a_view_that_breaks_a_bound_is_not_published() -> None:
    with pytest.raises(ProtocolError, match="decode_seconds"):
        NodeRecord.from_view(view(decode_seconds=math.nan))
