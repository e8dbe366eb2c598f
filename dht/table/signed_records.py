"""The rule that every record in the hash table obeys: one per key and publisher, signed by the publisher."""

from __future__ import annotations

import msgpack
from hivemind.dht.validation import DHTRecord, RecordValidatorBase

from dht.entry import sign, unpacked, verified
from dht.identity import Identity


class SignedRecords(RecordValidatorBase):
    """Signs what this peer publishes and judges what others do.

    A record's subkey is its publisher's peer id, its value what dht.entry makes and verifies. Everything else is
    refused: unsigned values, values that are not bytes, and other ways to write the same subkey (each would break the
    signature when the table writes it anew, and hide the records of others beside it).
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def sign_value(self, record: DHTRecord) -> bytes:
        return sign(self._identity, record.key, record.subkey, record.value, record.expiration_time)

    def strip_value(self, record: DHTRecord) -> bytes:
        """Nothing is taken off: with its signature, whoever reads it here can show it to others."""
        packed: bytes = msgpack.packb(record.value)
        return packed

    def validate(self, record: DHTRecord) -> bool:
        publisher = unpacked(record.subkey)
        if not isinstance(publisher, str) or msgpack.packb(publisher) != record.subkey:
            return False
        return verified(record.key, publisher, record.value, record.expiration_time) is not None
