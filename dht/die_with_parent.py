"""Become another program that dies when its parent does: ``python die_with_parent.py PARENT PROGRAM [ARGUMENT …]``.

A program of its own rather than code between fork and exec: in a process with threads, which every node is, such code
may find a lock held for ever by a thread that was not copied.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: str, *command: str) -> None:
    """Never returns."""
    die_with(int(parent))
    os.execv(command[0], command)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread of process ``parent`` that has forked it ends. Linux only."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the signal was set
        sys.exit(1)


def bound_to_this_thread() -> list[str]:
    """What to put before a command, which begins with a path, so that it dies with the thread that starts it.

    Nothing where the kernel cannot do that.
    """
    if not sys.platform.startswith("linux") or not sys.executable:
        return []
    return [sys.executable, "-I", "-S", os.path.realpath(__file__), str(os.getpid())]


if __name__ == "__main__":
    main(*sys.argv[1:])
