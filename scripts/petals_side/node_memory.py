"""How many processes a node is, and how much memory they take together."""

from __future__ import annotations

from pathlib import Path

from process_counters import children

DAEMON = "p2pd"


def processes_of(node: int) -> set[int]:
    """The process ``node`` and all that it started, and those started."""
    found: set[int] = set()
    newest = {node}
    while newest:
        found |= newest
        newest = children(newest) - found
    return found


def is_daemon(process_id: int) -> bool:
    return _read(process_id, "comm").strip() == DAEMON


def proportional_bytes(process_ids: set[int]) -> int:
    """Their proportional set sizes added up: a page that n processes share counts as a part of n in each of them."""
    return _sum(process_ids, "Pss")


def resident_bytes(process_ids: set[int]) -> int:
    """Their resident set sizes added up, which do not change with other processes that come and go."""
    return _sum(process_ids, "Rss")


def _sum(process_ids: set[int], field: str) -> int:
    return sum(
        int(line.split()[1]) * 1024
        for process_id in process_ids
        for line in _read(process_id, "smaps_rollup").splitlines()
        if line.startswith(f"{field}:")
    )


def _read(process_id: int, name: str) -> str:
    """Nothing if the process has ended."""
    try:
        return Path(f"/proc/{process_id}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
