"""Which key file a node runs under: two running nodes never share one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from platformdirs import user_data_path

from routing.errors import IdentityError


@contextmanager
def claimed_identity(path: Path | None) -> Iterator[Path]:
    """The key file to use, claimed for as long as the body runs; a claim ends with its process.

    None: the first of the user's own keys that no running node uses. Raises IdentityError if ``path`` is in use, or
    its directory cannot be written.
    """
    if path is not None:
        candidates: Iterator[Path] = iter([path])
    else:
        directory = user_data_path("swarm-node", appauthor=False)
        candidates = (directory / ("identity.key" if number == 1 else f"identity-{number}.key") for number in count(1))
    for candidate in candidates:
        claim = _claim(candidate)
        if claim is not None:
            try:
                yield candidate
            finally:
                os.close(claim)
            return
    raise IdentityError(f"another node is running under the identity {path}; stop it or give another --identity")


def _claim(path: Path) -> int | None:
    """A descriptor that holds the lock beside ``path``, or None if a running process holds it."""
    lock = path.with_name(path.name + ".lock")
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise IdentityError(f"cannot keep an identity at {path}: {error.strerror}; give another --identity") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
