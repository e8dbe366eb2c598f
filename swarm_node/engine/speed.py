"""How fast this machine runs the blocks it hosts: measured before it offers them, and remembered in a file."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import platformdirs
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from swarm_node.compute import HostedBlocks, Row
from swarm_node.engine.schedule import BatchLimits
from swarm_node.engine.settings import MEASURE_HISTORY_TOKENS, MEASURE_SECONDS, SPEED_LIFE_SECONDS
from swarm_node.model import Quant

log = logging.getLogger(__name__)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class ComputeSpeed:
    """Compute time of one session that has the machine to itself."""

    prefill_seconds: float
    """Seconds per prompt token and block."""
    decode_seconds: float
    """Seconds per decode step and block."""


def measure(blocks: HostedBlocks) -> ComputeSpeed:
    """Time slices of prompts, as a busy node runs them, and single tokens, with random hidden states.

    Takes about a second: call it in a thread.
    """
    slice_tokens = BatchLimits.of(blocks.device.type).prefill_beside_decodes
    cache = blocks.new_cache(MEASURE_HISTORY_TOKENS + slice_tokens)
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(slice_tokens, blocks.hidden_size, generator=random)

    def run(position: int, tokens: int) -> None:
        cache.roll_back(position)
        blocks.step([Row(cache, tokens)], hidden[:tokens]).cpu()  # the copy waits for the device

    prefill = median_seconds(lambda: run(0, slice_tokens))
    while cache.length < MEASURE_HISTORY_TOKENS:
        run(cache.length, min(slice_tokens, MEASURE_HISTORY_TOKENS - cache.length))
    decode = median_seconds(lambda: run(MEASURE_HISTORY_TOKENS, 1))
    cache.free()
    return ComputeSpeed(prefill / slice_tokens / len(blocks.span), decode / len(blocks.span))


def median_seconds(run: Callable[[], object]) -> float:
    """Of as many runs as fit into MEASURE_SECONDS, after one that warms caches up and compiles what is for a GPU."""
    run()
    times: list[float] = []
    while sum(times) < MEASURE_SECONDS:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prefill_seconds: Seconds
    decode_seconds: Seconds
    measured_at: float
    """Unix seconds."""


def speed_file(fingerprint: str, dtype: torch.dtype, quant: Quant, device_name: str) -> Path:
    """Where the speed of such a device with this model lies; another number of threads is another file."""
    kind = (str(dtype).removeprefix("torch."), quant.value, device_name, str(torch.get_num_threads()))
    name = "-".join((fingerprint, *kind))
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
    return platformdirs.user_cache_path("swarm-node") / "speed" / f"{safe}.json"


def known_speed(file: Path) -> ComputeSpeed | None:
    """What was measured less than SPEED_LIFE_SECONDS ago; None if nothing was, or if the file cannot be read."""
    try:
        entry = _Entry.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    if not 0 <= time.time() - entry.measured_at < SPEED_LIFE_SECONDS:
        return None
    return ComputeSpeed(entry.prefill_seconds, entry.decode_seconds)


def remember_speed(file: Path, speed: ComputeSpeed) -> None:
    """Write it down. A disk that refuses only costs the next start a measurement."""
    entry = _Entry(prefill_seconds=speed.prefill_seconds, decode_seconds=speed.decode_seconds, measured_at=time.time())
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{time.time_ns()}")
        partial.write_text(entry.model_dump_json())
        partial.replace(file)
    except OSError as error:
        log.info("the measured speed cannot be kept in %s: %s", file, error)
