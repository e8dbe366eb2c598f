"""What the Linux kernel knows of processes: bytes at their TCP sockets, processor time, memory, children."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import trio
from pyroute2 import DiagSocket

_SCHEDULED = 2
"""The kind of a process's clock that counts the time for which it was running."""

_ESTABLISHED = 1 << 1
_TCP_INFO = 1 << 1
"""Bits of what to ask the kernel for: connections in that state, with their counters."""

ENDED = "ZX"
"""States of processes that only wait to be noticed by their parents, if at all."""

Sockets = Mapping[tuple[int, int], Mapping[str, int]]
"""Bytes 'sent' and 'received' by the socket's inode and the process that holds it."""


async def sockets() -> Sockets:
    """The connected TCP sockets of all processes that we may look into."""
    return await trio.to_thread.run_sync(_sockets)


def _sockets() -> Sockets:
    counted = {}
    with DiagSocket() as kernel:
        kernel.bind()
        for family in (socket.AF_INET, socket.AF_INET6):
            for found in kernel.get_sock_stats(family=family, states=_ESTABLISHED, extensions=_TCP_INFO):
                info = found.get_attr("INET_DIAG_INFO")
                counts = {"sent": info["tcpi_bytes_sent"], "received": info["tcpi_bytes_received"]}
                counted[found["idiag_inode"]] = counts
    return {(inode, holder): counted[inode] for inode, holder in _held_sockets() if inode in counted}


def _held_sockets() -> Iterator[tuple[int, int]]:
    """Inodes of sockets and the processes that hold them."""
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # the process has ended, or is none of ours
            kind, _, inode = os.readlink(descriptor).partition(":")
            if kind == "socket":
                yield int(inode.strip("[]")), int(descriptor.parts[2])


def moved(before: Sockets, after: Sockets, process_ids: set[int], what: str) -> int:
    """Bytes that these processes have 'sent' or 'received' between two looks."""
    return sum(
        counts.get(what, 0) - before.get((inode, holder), {}).get(what, 0)
        for (inode, holder), counts in after.items()
        if holder in process_ids
    )


def is_running(process_id: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    stat = _stat(process_id)
    return bool(stat) and stat[0] not in ENDED


def children(parents: set[int]) -> set[int]:
    """The processes that these have started and that still run."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        stat = _stat(int(path.name))
        if stat and stat[0] not in ENDED and int(stat[1]) in parents:
            found.add(int(path.name))
    return found


def family(process_id: int) -> set[int]:
    """The process, all that it started, and those started."""
    found: set[int] = set()
    newest = {process_id}
    while newest:
        found |= newest
        newest = children(newest) - found
    return found


def program_name(process_id: int) -> str:
    """Its first 15 characters; empty if the process has ended."""
    return _read(process_id, "comm").strip()


def proportional_bytes(process_ids: Iterable[int]) -> int:
    """Their proportional set sizes added up: a page that n processes share counts as a part of n in each of them."""
    return _memory(process_ids, "Pss")


def resident_bytes(process_ids: Iterable[int]) -> int:
    """Their resident set sizes added up, which do not change with other processes that come and go."""
    return _memory(process_ids, "Rss")


def _memory(process_ids: Iterable[int], field: str) -> int:
    return sum(
        int(line.split()[1]) * 1024
        for process_id in process_ids
        for line in _read(process_id, "smaps_rollup").splitlines()
        if line.startswith(f"{field}:")
    )


def cpu_seconds(process_ids: Iterable[int]) -> float:
    """Used by these processes since they started; nothing for those that have ended."""
    used = 0.0
    for process_id in process_ids:
        with suppress(OSError):
            # The kernel's clock of that process, in nanoseconds: /proc counts ticks of 10 ms, which many a look misses.
            used += time.clock_gettime((~process_id << 3) | _SCHEDULED)
    return used


def _stat(process_id: int) -> list[str]:
    """Fields of /proc/…/stat from the state on; none if there is no such process any more."""
    return _read(process_id, "stat").rpartition(")")[2].split()


def _read(process_id: int, name: str) -> str:
    """Of /proc; nothing if the process has ended."""
    try:
        return Path(f"/proc/{process_id}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
