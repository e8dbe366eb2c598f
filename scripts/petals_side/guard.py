"""End process groups when the benchmark is gone, however it went: a program that reads ``+GROUP`` and ``-GROUP`` lines.

Its input ends when the benchmark's process does. Petals forks and starts daemons that outlive their parent, so that a
signal to the parent alone would not do.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
