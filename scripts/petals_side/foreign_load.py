"""How much of the machine other programs took while something was measured."""

from __future__ import annotations

import os
import time
from pathlib import Path

from process_counters import cpu_seconds

IDLE = slice(3, 5)
"""Where /proc/stat counts time in which a processor had nothing to do, or waited for a disk."""
COUNTED = slice(0, 8)
"""The last of them is time that a hypervisor gave to others. What guests used comes after, but is in the first too."""


class ForeignLoad:
    """Counts from when it is made. ``process_ids``: what is measured, and does not count; they must not end before."""

    def __init__(self, process_ids: set[int]) -> None:
        self._process_ids = process_ids | {os.getpid()}
        self._started = time.monotonic()
        self._before = self._used()

    def share(self) -> float:
        """From 0 to 1, of all processors."""
        seconds = time.monotonic() - self._started
        return max(0.0, self._used() - self._before) / seconds / (os.cpu_count() or 1)

    def _used(self) -> float:
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        busy = sum(ticks[COUNTED]) - sum(ticks[IDLE])
        return busy / os.sysconf("SC_CLK_TCK") - cpu_seconds(self._process_ids)
