"""How far an address is good for: who can call it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from ipaddress import ip_address

from dht.multiaddr import check_dialable, split


class Reach(IntEnum):
    """The most useful first."""

    INTERNET = 0
    NETWORK = 1
    """The local network, or a private one."""
    RELAY = 2
    """Through another peer, which must stay there."""
    MACHINE = 3
    """Programs of this machine only."""


def reach_of(transport: str) -> Reach | None:
    """Of one multiaddress, without the peer's id; None if nobody can call it. A host name counts as the internet's."""
    try:
        check_dialable(transport)
    except ValueError:
        return None
    (kind, host), *_ = split(transport)
    if "/p2p-circuit" in transport:
        return Reach.RELAY
    if not kind.startswith("ip"):
        return Reach.INTERNET
    address = ip_address(host)
    if address.is_loopback:
        return Reach.MACHINE
    if address.is_link_local:
        return None
    return Reach.INTERNET if address.is_global else Reach.NETWORK


def furthest_reach(addresses: Iterable[str]) -> Reach | None:
    """Of all that a peer has, as it announces them, with its id; None if it has none that anybody can call."""
    found = (reach_of(address.rpartition("/p2p/")[0]) for address in addresses)
    return min((reach for reach in found if reach is not None), default=None)
