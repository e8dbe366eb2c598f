"""Addresses are read as nodes print them, and anything else is refused in one line that shows a right one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dht import PeerAddress
from dht.multiaddr import EXAMPLE, decode, encode
from dht.peer_id import peer_id_of
from routing.errors import UsageError

PEER = "12D3KooWFAeNYeXKe7ghqYVkBUB6JUzj1xDr78feuSeaUgHVkCQa"

peer_ids = st.binary(min_size=32, max_size=32).map(peer_id_of)
ports = st.integers(1, 65535)
hosts = st.one_of(
    st.ip_addresses(v=4).filter(lambda ip: not ip.is_unspecified).map(lambda ip: f"/ip4/{ip}"),
    st.ip_addresses(v=6).filter(lambda ip: not ip.is_unspecified).map(lambda ip: f"/ip6/{ip}"),
    st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,5}){0,2}", fullmatch=True).map(
        lambda name: f"/dns/{name}"
    ),
)
transports = st.builds(
    lambda host, port, quic, relay: (
        host + (f"/udp/{port}/quic-v1" if quic else f"/tcp/{port}") + (f"/p2p/{relay}/p2p-circuit" if relay else "")
    ),
    hosts,
    ports,
    st.booleans(),
    st.none() | peer_ids,
)


@given(transports, peer_ids)
def test_an_address_survives_text_and_bytes(transport: str, peer_id: str) -> None:
    address = PeerAddress.parse(f"{transport}/p2p/{peer_id}")
    assert address == PeerAddress(transport, peer_id)
    assert PeerAddress.parse(str(address)) == address
    assert decode(encode(str(address))) == str(address)


@given(st.text(max_size=200) | st.lists(st.sampled_from(EXAMPLE.split("/")), max_size=12).map("/".join))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        address = PeerAddress.parse(text)
    except UsageError as error:
        message = str(error)
    else:
        assert PeerAddress.parse(str(address)) == address
        return
    assert EXAMPLE in message
    assert "\n" not in message


@given(st.binary(max_size=100))
def test_any_bytes_are_an_address_or_refused(raw: bytes) -> None:
    try:
        text = decode(raw)
    except ValueError:
        return
    assert encode(text) == raw


def test_addresses_have_the_bytes_that_libp2p_expects() -> None:
    assert encode("/ip4/127.0.0.1/tcp/4001").hex() == "047f000001060fa1"
    assert (
        encode("/ip6/::1/udp/53/quic-v1") == b"\x29" + ipaddress.ip_address("::1").packed + b"\x91\x02\x00\x35\xcd\x03"
    )
    assert encode("/unix/tmp/a.sock") == b"\x90\x03\x0b/tmp/a.sock"
    assert encode(f"/p2p/{PEER}")[:9].hex() == "a50326002408011220"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must begin with a /"),
        ("127.0.0.1:31337", "must begin with a /"),
        ("/ip4/127.0.0.1/tcp/31337", "must end in /p2p/"),
        (f"/p2p/{PEER}", "must end in /p2p/"),
        ("/ip4/127.0.0.1/tcp/31337/p2p/", "needs a value"),
        ("/ip4/127.0.0.1/tcp/31337/p2p/Bob", "peer id"),
        ("/ip4/127.0.0.1/tcp/31337/p2p/" + PEER[:-1], "peer id"),
        (f"/ip4/300.0.0.1/tcp/31337/p2p/{PEER}", "300"),
        (f"/ip4/127.0.0.1/tcp/65536/p2p/{PEER}", "no port"),
        (f"/ip4/127.0.0.1/tcp/0/p2p/{PEER}", "port 0"),
        (f"/ip4/0.0.0.0/tcp/31337/p2p/{PEER}", "every address"),
        (f"/ip4/127.0.0.1/udp/31337/p2p/{PEER}", "QUIC"),
        (f"/http/example.org/tcp/80/p2p/{PEER}", "no protocol"),
        (f"/dns/exa mple/tcp/80/p2p/{PEER}", "no host name"),
        (f"/tcp/80/ip4/127.0.0.1/p2p/{PEER}", "host and a port"),
        ("/ip4/127.0.0.1/tcp/1" * 100, "too long"),
    ],
)
def test_a_malformed_address_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        PeerAddress.parse(text)
