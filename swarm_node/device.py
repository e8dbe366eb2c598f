"""Where tensors are computed: the processor, or one of its GPUs."""

from __future__ import annotations

import torch

from routing.errors import UsageError


def chosen_device(name: str) -> str:
    """``name`` as torch has it; ``auto`` takes a GPU if there is one. Raises UsageError if this machine lacks it."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"'{name}' is no device; write cpu, cuda or cuda:1") from None
    if device.type not in ("cpu", "cuda") or (
        device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    ):
        raise UsageError(f"this machine has no device {name}; it has {torch.cuda.device_count()} GPUs for PyTorch")
    return name
