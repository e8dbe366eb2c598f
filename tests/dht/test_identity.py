"""A peer keeps its name across restarts, and its key to itself."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dht import Identity, is_signed_by
from dht.peer_id import peer_id_bytes, peer_id_text
from routing.errors import IdentityError

NOBODY = 65534
"""A user who owns nothing."""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_identity_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    first = Identity.load_or_create(path)
    second = Identity.load_or_create(path)
    assert first.peer_id == second.peer_id
    assert first.peer_id.startswith("12D3KooW")


def test_two_identities_differ(tmp_path: Path) -> None:
    assert Identity.create(tmp_path / "a").peer_id != Identity.create(tmp_path / "b").peer_id


def test_the_file_and_new_directories_are_private(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "identity.key"
    before = mode(tmp_path)
    Identity.load_or_create(path)
    assert mode(path) == 0o600
    assert mode(path.parent) == mode(path.parent.parent) == 0o700
    assert mode(tmp_path) == before
    assert os.listdir(path.parent) == ["identity.key"], "nothing half-written stays behind"


def test_a_key_open_to_others_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    peer_id = Identity.create(path).peer_id
    path.chmod(0o644)
    assert Identity.load_or_create(path).peer_id == peer_id
    assert mode(path) == 0o600


def test_whoever_creates_second_gets_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    first = Identity.create(path)
    assert Identity.create(path).peer_id == first.peer_id


def test_a_file_in_place_of_a_directory_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentityError, match=r"cannot use the identity .*file/identity.key"):
        Identity.load_or_create(tmp_path / "file" / "identity.key")


def test_a_directory_in_place_of_the_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="directory"):
        Identity.load_or_create(tmp_path)


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Root may read and write everything, so the body runs as nobody if root runs the tests."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def ordinary_directory() -> Iterator[Path]:
    """A directory of the ordinary user's; pytest's own let in none but who runs the tests."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, -1)
        yield path
        path.chmod(0o700)


def test_an_unreadable_file_is_reported(ordinary_directory: Path) -> None:
    path = ordinary_directory / "identity.key"
    Identity.create(path)
    path.chmod(0)
    with pytest.raises(IdentityError, match="Permission denied"), as_an_ordinary_user():
        Identity.load_or_create(path)


def test_a_directory_that_cannot_be_written_is_reported(ordinary_directory: Path) -> None:
    ordinary_directory.chmod(0o500)
    with pytest.raises(IdentityError, match="Permission denied"), as_an_ordinary_user():
        Identity.load_or_create(ordinary_directory / "identity.key")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\x08\x01\x12\x40" + bytes(63),
        b"\x08\x01\x12\x40" + bytes(65),
        b"\x08\x00\x12\x40" + bytes(64),  # an RSA key says type 0
        b"\x08\x01\x12\x40" + bytes(64),  # the public half is not that of the seed
        bytes(10_000_000),
    ],
    ids=["empty", "garbage", "short", "long", "rsa", "halves", "huge"],
)
def test_a_file_that_is_no_key_is_reported_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    with pytest.raises(IdentityError, match=str(path)) as raised:
        Identity.load_or_create(path)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == content, "a file that is not ours is left as it is"


def test_a_signature_holds_for_its_message_and_signer_only(tmp_path: Path) -> None:
    alice, bob = Identity.create(tmp_path / "alice"), Identity.create(tmp_path / "bob")
    signature = alice.sign(b"message")
    assert is_signed_by(alice.peer_id, signature, b"message")
    assert not is_signed_by(alice.peer_id, signature, b"another")
    assert not is_signed_by(bob.peer_id, signature, b"message")
    assert not is_signed_by(alice.peer_id, signature[:-1], b"message")
    assert not is_signed_by("nobody", signature, b"message")


@given(st.text(max_size=80) | st.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", max_size=70))
def test_any_text_is_a_peer_id_or_refused(text: str) -> None:
    try:
        raw = peer_id_bytes(text)
    except ValueError:
        return
    assert peer_id_text(raw) == text
