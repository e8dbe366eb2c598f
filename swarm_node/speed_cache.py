"""Measured speeds that outlive the process: a node that starts again knows how fast it is."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import platformdirs
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from swarm_node.compute_speed import ComputeSpeed
from swarm_node.quant import Quant
from swarm_node.settings import SPEED_LIFE_SECONDS

log = logging.getLogger(__name__)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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
