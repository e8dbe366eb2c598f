"""What a node takes of the machine it runs on: memory, where its owner does not say how much, and a key file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import torch
from platformdirs import user_data_path

from routing.errors import IdentityError
from swarm_node.node.settings import CPU_MEMORY_SHARE, GPU_MEMORY_SHARE


def default_memory(device: str) -> int:
    """Bytes: a share of what is free now on ``device``."""
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(torch.device(device))
        return int(free * GPU_MEMORY_SHARE)
    return int(_available_bytes() * CPU_MEMORY_SHARE)


def _available_bytes() -> int:
    """Memory that can be taken without swapping; where the system does not say, all of it."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
