"""What the Linux kernel has counted of processes: bytes at their TCP sockets, processor time, children."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import trio

_SOCKET = re.compile(r"\d+ +\d+ +(\S+) +(\S+) .*\bpid=(\d+)")
_COUNTED = re.compile(r"\bbytes_(sent|received):(\d+)")

ENDED = "ZX"
"""States of processes that only wait to be noticed by their parents, if at all."""

Sockets = Mapping[tuple[str, str, int], Mapping[str, int]]
"""Bytes 'sent' and 'received' by local address, remote address and process id."""


async def sockets() -> Sockets:
    """The open TCP sockets of all processes that we may look into."""
    listed = await trio.run_process(["ss", "-tinpHO", "state", "established"], capture_stdout=True)
    found = {}
    for line in listed.stdout.decode().splitlines():
        if match := _SOCKET.match(line):
            local, remote, process_id = match.groups()
            found[local, remote, int(process_id)] = {what: int(count) for what, count in _COUNTED.findall(line)}
    return found


def moved(before: Sockets, after: Sockets, process_ids: set[int], what: str) -> int:
    """Bytes that these processes have 'sent' or 'received' between two looks."""
    return sum(
        counts.get(what, 0) - before.get(socket, {}).get(what, 0)
        for socket, counts in after.items()
        if socket[2] in process_ids
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


def cpu_seconds(process_ids: Iterable[int]) -> float:
    """Used by these processes since they started."""
    ticks = sum(int(stat[11]) + int(stat[12]) for stat in map(_stat, process_ids) if stat)
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(process_id: int) -> list[str]:
    """Fields of /proc/…/stat from the state on; none if there is no such process any more."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
