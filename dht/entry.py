"""What one peer has published under one key: signed by it, for that key and until that time."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgpack

from dht.identity import Identity
from dht.peer_id import SIGNATURE_BYTES, is_signed_by
from dht.settings import CLOCK_SKEW_SECONDS, RECORD_BYTES, RECORD_LIFETIME_SECONDS


@dataclass(frozen=True, slots=True)
class Entry:
    """What a peer has published under a key, until ``expiration`` (unix seconds)."""

    value: bytes
    expiration: float
    signed: bytes = b""
    """The value as it travels: msgpack, with its publisher's signature behind it."""


class Entries(Protocol):
    """What can be read, and published, under keys: a member's hash table, or what a client asks of members."""

    @property
    def peer_id(self) -> str:
        """In whose name it is published."""

    async def store(self, key: str, value: bytes, expiration: float) -> bool:
        """Publish ``value`` under ``key`` until ``expiration``. False if that was refused. Raises NetworkError."""

    async def get(self, keys: Sequence[str]) -> list[dict[str, Entry]]:
        """For each key what is published there, by peer id of the publisher. Raises NetworkError."""


def key_id(key: str) -> bytes:
    """What the hash table has in place of ``key``."""
    return hashlib.sha1(msgpack.packb(key), usedforsecurity=False).digest()


def sign(identity: Identity, key: bytes, subkey: bytes, value: bytes, expiration: float) -> bytes:
    """``value`` (msgpack) with a signature behind it, under ``key`` (its id) and ``subkey`` (the publisher, packed)."""
    return value + identity.sign(_signed_part(key, subkey, value, expiration))


def verified(key: bytes, publisher: str, signed: bytes, expiration: object) -> Entry | None:
    """The entry, if ``publisher`` has signed it for the ``key`` of this id; None for anything else.

    The signature covers key, publisher, value and expiration, so that an entry cannot be moved to another key, be
    prolonged or published in another's name. Values that are not bytes and lifetimes beyond the bound are refused too.
    """
    latest = time.time() + RECORD_LIFETIME_SECONDS + CLOCK_SKEW_SECONDS
    if not isinstance(expiration, float) or not math.isfinite(expiration) or expiration > latest:
        return None
    if len(signed) > RECORD_BYTES + SIGNATURE_BYTES:
        return None
    packed, signature = signed[:-SIGNATURE_BYTES], signed[-SIGNATURE_BYTES:]
    value = unpacked(packed)
    if not isinstance(value, bytes):
        return None
    if not is_signed_by(publisher, signature, _signed_part(key, msgpack.packb(publisher), packed, expiration)):
        return None
    return Entry(value, expiration, signed)


def unpacked(packed: bytes) -> object:
    """The one msgpack object in ``packed``, None for anything else."""
    try:
        found: object = msgpack.unpackb(packed, max_ext_len=0, max_array_len=0, max_map_len=0)
    except (ValueError, msgpack.UnpackException):
        return None
    return found


def _signed_part(key: bytes, subkey: bytes, value: bytes, expiration: float) -> bytes:
    packed: bytes = msgpack.packb([key, subkey, value, expiration])
    return packed
