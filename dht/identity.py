"""A peer's private key: who it is to others, kept in a file that only its user can read."""

from __future__ import annotations

import logging
import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dht.peer_id import peer_id_of
from routing.errors import IdentityError

log = logging.getLogger(__name__)

_HEADER = bytes.fromhex("08011240")
"""libp2p's PrivateKey message: type Ed25519, data of 64 bytes (32 of seed, 32 of public key)."""
_FILE_BYTES = len(_HEADER) + 64


class Identity:
    """An Ed25519 key in a libp2p key file.

    Holds the key in memory and no open file; the daemon reads the same file, so it must stay where it is for as long
    as a peer runs under it.
    """

    def __init__(self, path: Path, seed: bytes) -> None:
        self.path = path
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.peer_id = peer_id_of(self._public_bytes())

    @classmethod
    def load_or_create(cls, path: Path) -> Identity:
        """The identity in ``path``, made there at the first time (mode 0600, new directories 0700).

        Raises IdentityError if the file cannot be read, written or understood.
        """
        try:
            return cls.load(path) if path.exists() else cls.create(path)
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error

    @classmethod
    def load(cls, path: Path) -> Identity:
        """The identity in the file ``path``. Raises IdentityError if it cannot be read or understood."""
        try:
            _keep_private(path)
            with path.open("rb") as file:
                content = file.read(_FILE_BYTES + 1)
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error
        if len(content) != _FILE_BYTES or not content.startswith(_HEADER):
            raise _unusable(path, "not an Ed25519 libp2p key")
        identity = cls(path, content[len(_HEADER) : len(_HEADER) + 32])
        if identity._public_bytes() != content[-32:]:
            raise _unusable(path, "damaged: its two halves do not belong together")
        return identity

    @classmethod
    def create(cls, path: Path) -> Identity:
        """A new identity in ``path``; if another process makes one there at the same time, both get the same.

        Raises IdentityError if the file cannot be written.
        """
        identity = cls(path, secrets.token_bytes(32))
        try:
            _make_private_directories(path.parent)
            _write_once(path, _HEADER + identity._key.private_bytes_raw() + identity._public_bytes())
        except FileExistsError:
            return cls.load(path)
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error
        return identity

    def sign(self, message: bytes) -> bytes:
        """A signature of 64 bytes that ``dht.peer_id.is_signed_by`` checks."""
        return self._key.sign(message)

    def _public_bytes(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _make_private_directories(directory: Path) -> None:
    # mkdir(parents=True) would give the parents the default mode.
    for missing in reversed([parent for parent in (directory, *directory.parents) if not parent.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def _write_once(path: Path, content: bytes) -> None:
    """Make ``path`` appear with its whole content or not at all; FileExistsError if it is there already."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
    finally:
        unfinished.unlink()


def _keep_private(path: Path) -> None:
    """Take away what other users may do with the file: a copied key often arrives with mode 0644."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if path.is_file() and mode & 0o077:
        log.warning("identity %s was open to other users of this machine; it is private now", path)
        path.chmod(mode & 0o700)


def _unusable(path: Path, reason: str) -> IdentityError:
    return IdentityError(f"cannot use the identity {path}: {reason}; repair it, or give another --identity file")
