"""How much memory a node may take when its owner does not say."""

from __future__ import annotations

import os

import torch

from swarm_node.settings import CPU_MEMORY_SHARE, GPU_MEMORY_SHARE


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
