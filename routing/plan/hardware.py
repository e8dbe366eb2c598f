"""How long a machine takes for a job, from what its data sheet says."""

from __future__ import annotations

import math
from dataclasses import dataclass

from routing.errors import ClusterInvalid

OVERHEAD_SECONDS = 1e-3
"""t_o: time that a block takes per job beside arithmetic and reading memory (arXiv 2604.14993, section 4)."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU as a data sheet describes it. Raises ClusterInvalid for figures that none has."""

    flops_per_second: float
    """f_j."""
    bytes_per_second: float
    """b_j: bandwidth of its memory."""

    def __post_init__(self) -> None:
        for what, value in (("TFLOP/s", self.flops_per_second), ("memory bandwidth", self.bytes_per_second)):
            if not math.isfinite(value) or value <= 0:
                raise ClusterInvalid(f"a device has a {what} of {value:g}; give a number above 0")


@dataclass(frozen=True, slots=True)
class BlockWork:
    """What one block asks of a device."""

    flops_per_token: float
    """F."""
    block_bytes: float
    """s_m: read once for every generated token."""


@dataclass(frozen=True, slots=True)
class BlockTime:
    """Seconds of one job in one block, as a function of the job's lengths."""

    per_job: float
    """t_o."""
    per_input_token: float
    """tI_j: prefill is bound by arithmetic."""
    per_later_token: float
    """tO_j, for each generated token after the first: decode is bound by memory bandwidth."""

    def seconds(self, input_tokens: float, output_tokens: float) -> float:
        """τp_j = t_o + tI_j·l_in + tO_j·(l_out - 1)."""
        later = max(output_tokens - 1, 0)
        return self.per_job + self.per_input_token * input_tokens + self.per_later_token * later


def block_time(device: Device, work: BlockWork) -> BlockTime:
    """tI_j = F/f_j and tO_j = s_m/b_j (arXiv 2604.14993, section 4)."""
    return BlockTime(
        per_job=OVERHEAD_SECONDS,
        per_input_token=work.flops_per_token / device.flops_per_second,
        per_later_token=work.block_bytes / device.bytes_per_second,
    )
