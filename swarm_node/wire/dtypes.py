"""Number formats in which hidden states travel: as they are, rounded, or in 8 bits with a scale for each few values."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as functional

from routing.errors import ProtocolError, UsageError
from swarm_node.wire.messages import DtypeName, WireDtype
from swarm_node.wire.settings import WIRE_SCALED

PLAIN: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

DtypeLike = str | torch.dtype | None
"""As transformers takes it: a dtype, its name, or ``auto``, which None stands for too."""

_SCALE = torch.bfloat16
"""Of scales: its range is that of float32, and levels are rounded against the scale as it is sent."""


def dtype_name(dtype: torch.dtype) -> DtypeName:
    """The wire name of ``dtype``; raises ProtocolError for one the wire does not carry."""
    for name, candidate in PLAIN.items():
        if candidate is dtype:
            return name  # type: ignore[return-value]
    raise ProtocolError(f"{dtype} does not travel; use float32, bfloat16 or float16")


def dtype_named(given: DtypeLike) -> torch.dtype | None:
    """What a user asks to compute in; None for auto. Raises UsageError for one that is none of the choices."""
    return _chosen("dtype", given, PLAIN)


def wire_named(given: DtypeLike) -> WireDtype | None:
    """What a user asks hidden states to travel in; None for auto, their own. Raises UsageError for another."""
    choices = {**PLAIN, "int8": torch.int8}
    chosen = _chosen("wire dtype", given, choices)
    names = {dtype: name for name, dtype in choices.items()}
    return names[chosen] if chosen is not None else None  # type: ignore[return-value]


def _chosen(what: str, given: DtypeLike, choices: Mapping[str, torch.dtype]) -> torch.dtype | None:
    """None for auto. Names are those of torch's attributes, as in transformers: ``half`` is one of float16."""
    if given is None or given == "auto":
        return None
    dtype = getattr(torch, given.removeprefix("torch."), None) if isinstance(given, str) else given
    if not isinstance(dtype, torch.dtype) or dtype not in choices.values():
        raise UsageError(f"{what} '{given}' is unknown; choose one of auto, {', '.join(choices)}")
    return dtype


def token_bytes(hidden_size: int, wire: WireDtype) -> int:
    """Of one token's hidden state on its way."""
    if wire == "int8":
        return hidden_size + math.ceil(hidden_size / WIRE_SCALED) * _SCALE.itemsize
    return hidden_size * PLAIN[wire].itemsize


def encode(hidden: torch.Tensor, wire: WireDtype) -> memoryview:
    """The bytes of [tokens, hidden size]; of int8 first all levels, then all scales."""
    if wire != "int8":
        return tensor_bytes(hidden.to(PLAIN[wire]))
    tokens, hidden_size = hidden.shape
    padding = -hidden_size % WIRE_SCALED
    parts = functional.pad(hidden.detach().cpu().float(), (0, padding)).view(tokens, -1, WIRE_SCALED)
    scales = (parts.abs().amax(dim=2, keepdim=True) / 127).to(_SCALE)
    wide = scales.float().clamp_min(torch.finfo(torch.float32).tiny)
    levels = (parts / wide).round().clamp(-127, 127).to(torch.int8).view(tokens, -1)[:, :hidden_size]
    return memoryview(b"".join((tensor_bytes(levels), tensor_bytes(scales))))


def decode(data: bytes | bytearray | memoryview, tokens: int, hidden_size: int, wire: WireDtype) -> torch.Tensor:
    """[tokens, hidden_size] of ``tokens * token_bytes(…)`` bytes; int8 becomes float32.

    Shares memory with ``data`` when that is writable.
    """
    if tokens == 0:
        return torch.empty(0, hidden_size, dtype=PLAIN.get(wire, torch.float32))
    writable = data if isinstance(data, bytearray) else bytearray(data)
    if wire != "int8":
        return torch.frombuffer(writable, dtype=PLAIN[wire]).reshape(tokens, hidden_size)
    levels = torch.frombuffer(writable, dtype=torch.int8, count=tokens * hidden_size).view(tokens, hidden_size)
    scales = torch.frombuffer(writable, dtype=_SCALE, offset=tokens * hidden_size).view(tokens, -1)
    return levels * scales.float().repeat_interleave(WIRE_SCALED, dim=1)[:, :hidden_size]


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The raw bytes of ``tensor``, without a copy if it is contiguous and on the CPU."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return memoryview(flat.numpy())  # type: ignore[arg-type]
