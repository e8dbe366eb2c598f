"""The rule that every record in the hash table obeys: one per key and publisher, signed by the publisher."""

from __future__ import annotations

import math
import time

import msgpack
from hivemind.dht.validation import DHTRecord, RecordValidatorBase

from dht.identity import Identity
from dht.peer_id import SIGNATURE_BYTES, is_signed_by
from dht.settings import CLOCK_SKEW_SECONDS, RECORD_BYTES, RECORD_LIFETIME_SECONDS


class SignedRecords(RecordValidatorBase):
    """Signs what this peer publishes and judges what others do.

    A record's subkey is its publisher's peer id, its value msgpack bytes with a signature of 64 bytes behind them. The
    signature covers key, subkey, value and expiration, so that a record cannot be moved to another key, prolonged or
    published in another's name. Everything else is refused: unsigned values, values that are not bytes, other ways to
    write the same subkey (each would break the signature when the table writes it anew, and hide the records of others
    beside it), and lifetimes beyond the bound.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def sign_value(self, record: DHTRecord) -> bytes:
        value: bytes = record.value
        return value + self._identity.sign(_signed_part(record, value))

    def strip_value(self, record: DHTRecord) -> bytes:
        value: bytes = record.value[:-SIGNATURE_BYTES]
        return value

    def validate(self, record: DHTRecord) -> bool:
        value, signature = record.value[:-SIGNATURE_BYTES], record.value[-SIGNATURE_BYTES:]
        latest = time.time() + RECORD_LIFETIME_SECONDS + CLOCK_SKEW_SECONDS
        expiration = record.expiration_time
        if not isinstance(expiration, float) or not math.isfinite(expiration) or expiration > latest:
            return False
        if len(record.value) > RECORD_BYTES + SIGNATURE_BYTES or not isinstance(_unpacked(value), bytes):
            return False
        publisher = _unpacked(record.subkey)
        if not isinstance(publisher, str) or msgpack.packb(publisher) != record.subkey:
            return False
        return is_signed_by(publisher, signature, _signed_part(record, value))


def _signed_part(record: DHTRecord, value: bytes) -> bytes:
    packed: bytes = msgpack.packb([record.key, record.subkey, value, record.expiration_time])
    return packed


def _unpacked(packed: bytes) -> object:
    """The one msgpack object in ``packed``, None for anything else."""
    try:
        unpacked: object = msgpack.unpackb(packed, max_ext_len=0, max_array_len=0, max_map_len=0)
    except (ValueError, msgpack.UnpackException):
        return None
    return unpacked
