"""A program that tells what it finds as it starts, then does as told: ``sleep``, ``fail`` or ``exit CODE``."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time

import numpy as np


def main() -> None:
    open_files = [int(name) for name in os.listdir("/proc/self/fd")]
    found = {
        "arguments": sys.argv[1:],
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "leads its session": os.getsid(0) == os.getpid(),
        "open": sorted(number for number in open_files if os.path.exists(f"/proc/self/fd/{number}")),
        "input": sys.stdin.read(),
        "a terminal": sys.stdout.isatty() or sys.stderr.isatty(),
        "buffered": (sys.stdout.line_buffering, sys.stderr.line_buffering),
        "on Ctrl-C": repr(signal.getsignal(signal.SIGINT)),
        "blocked": repr(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "thread": (threading.active_count(), threading.current_thread().name),
    }
    drawn = np.random.random()  # this is the generator in question
    print(json.dumps({"pid": os.getpid(), "found": found, "drawn": drawn}), flush=True)
    match sys.argv[1:]:
        case ["sleep"]:
            time.sleep(60)
        case ["fail"]:
            raise RuntimeError("as I was told")
        case ["exit", code]:
            sys.exit(int(code))


if __name__ == "__main__":
    main()
