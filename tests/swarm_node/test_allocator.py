"""What becomes of freed memory, in a process of its own as the settings are a process's."""

from __future__ import annotations

import subprocess
import sys

KEPT_MIB = """
from swarm_node.process import freed_memory_returned, keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) / 256

def kept():
    before = resident()
    large = b"x" * 2**26
    del large
    return resident() - before

keep_freed_memory()
with freed_memory_returned():
    print(kept())
print(kept())
"""


def test_freed_memory_is_kept_but_for_that_of_loading() -> None:
    run = subprocess.run([sys.executable, "-c", KEPT_MIB], capture_output=True, text=True, check=True)
    while_loading, afterwards = map(float, run.stdout.split())
    assert while_loading < 8
    assert afterwards > 56
