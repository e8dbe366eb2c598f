"""Memory sizes as people write them."""

from __future__ import annotations

import re

from routing.errors import UsageError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_bytes(text: str) -> int:
    """``6GiB``, ``800MB``, ``1.5g`` or plain bytes; raises UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", text.strip(), re.IGNORECASE)
    if match is None or match[2].upper() not in _UNITS:
        raise UsageError(f"'{text}' is not a size of memory; write for example 6GiB or 800MB")
    count = int(float(match[1]) * _UNITS[match[2].upper()])
    if count <= 0:
        raise UsageError("--memory must be more than nothing")
    return count
