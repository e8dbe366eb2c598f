"""Only a record's publisher can have made it, for that key and until that time."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import msgpack
import pytest
from hivemind.dht.validation import DHTRecord

from dht import Identity
from dht.table.signed_records import SignedRecords


@pytest.fixture
def alice(tmp_path: Path) -> Identity:
    return Identity.create(tmp_path / "alice")


@pytest.fixture
def rule(tmp_path: Path) -> SignedRecords:
    """The rule as some third peer applies it."""
    return SignedRecords(Identity.create(tmp_path / "judge"))


def publish(identity: Identity, value: object = b"value", *, seconds: float = 20.0, subkey: bytes = b"") -> DHTRecord:
    record = DHTRecord(
        b"k" * 20, subkey or msgpack.packb(identity.peer_id), msgpack.packb(value), time.time() + seconds
    )
    return dataclasses.replace(record, value=SignedRecords(identity).sign_value(record))


def test_a_record_of_its_publisher_is_accepted(alice: Identity, rule: SignedRecords) -> None:
    record = publish(alice)
    assert rule.validate(record)
    (signed, value) = msgpack.unpackb(rule.strip_value(record)), msgpack.packb(b"value")
    assert signed == record.value
    assert signed[:-64] == value


def test_a_changed_record_is_refused(alice: Identity, rule: SignedRecords, tmp_path: Path) -> None:
    record = publish(alice)
    bob = Identity.create(tmp_path / "bob")
    for change in (
        {"key": b"x" * 20},
        {"subkey": msgpack.packb(bob.peer_id)},
        {"value": msgpack.packb(b"other") + record.value[-64:]},
        {"value": record.value[:-1] + bytes([record.value[-1] ^ 1])},
        {"value": record.value[:-64]},
        {"value": b""},
        {"expiration_time": record.expiration_time + 1},
    ):
        assert not rule.validate(dataclasses.replace(record, **change)), change


def test_a_record_in_anothers_name_is_refused(alice: Identity, rule: SignedRecords, tmp_path: Path) -> None:
    bob = Identity.create(tmp_path / "bob")
    assert not rule.validate(publish(bob, subkey=msgpack.packb(alice.peer_id)))


def test_a_record_that_would_stay_for_long_is_refused(alice: Identity, rule: SignedRecords) -> None:
    assert not rule.validate(publish(alice, seconds=3600))
    assert not rule.validate(publish(alice, seconds=float("inf")))
    assert not rule.validate(publish(alice, seconds=float("nan")))


def test_a_record_that_takes_much_room_is_refused(alice: Identity, rule: SignedRecords) -> None:
    assert not rule.validate(publish(alice, bytes(10_000)))


def test_values_that_could_not_be_read_back_are_refused(alice: Identity, rule: SignedRecords) -> None:
    for value in ("text", 1, None, [b"value"], msgpack.ExtType(0x50, b"x")):
        assert not rule.validate(publish(alice, value)), value


def test_a_name_written_in_an_unusual_way_is_refused(alice: Identity, rule: SignedRecords) -> None:
    name = alice.peer_id.encode()
    unusual = b"\xda" + len(name).to_bytes(2, "big") + name
    assert msgpack.unpackb(unusual) == alice.peer_id
    assert not rule.validate(publish(alice, subkey=unusual))


@pytest.mark.parametrize("subkey", [b"", b"\xc0", b"\xc4\x01x", b"garbage", b"\x81"])
def test_a_record_of_nobody_is_refused(alice: Identity, rule: SignedRecords, subkey: bytes) -> None:
    record = dataclasses.replace(publish(alice), subkey=subkey)
    assert not rule.validate(record)
