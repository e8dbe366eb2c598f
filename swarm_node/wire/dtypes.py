"""Number formats in which hidden states travel: as they are, rounded, or in 8 bits with a scale for each few values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from routing.errors import ProtocolError, UsageError
from swarm_node.wire.messages import DtypeName, WireDtype
from swarm_node.wire.settings import WIRE_SCALED

if TYPE_CHECKING:
    import torch  # else by what handles tensors, when it does: who only looks at a swarm need not wait for it

_VALUE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of formats that hidden states are computed in and travel in as they are; names are those of torch's attributes."""

_SCALE_BYTES = 2
"""A scale is a bfloat16: its range is that of float32, and levels are rounded against the scale as it is sent."""

DtypeLike: TypeAlias = "str | torch.dtype | None"
"""As transformers takes it: a dtype, its name, or ``auto``, which None stands for too."""


def dtype_name(dtype: torch.dtype) -> DtypeName:
    """The wire name of ``dtype``; raises ProtocolError for one the wire does not carry."""
    name = str(dtype).removeprefix("torch.")
    if name not in _VALUE_BYTES:
        raise ProtocolError(f"{dtype} does not travel; use float32, bfloat16 or float16")
    return name  # type: ignore[return-value]


def dtype_named(given: DtypeLike) -> torch.dtype | None:
    """What a user asks to compute in; None for auto. Raises UsageError for one that is none of the choices."""
    return _chosen("dtype", given, tuple(_VALUE_BYTES))


def wire_named(given: DtypeLike) -> WireDtype | None:
    """What a user asks hidden states to travel in; None for auto, their own. Raises UsageError for another."""
    choices = (*_VALUE_BYTES, "int8")
    if given in choices:
        return given  # type: ignore[return-value]
    chosen = _chosen("wire dtype", given, choices)
    return str(chosen).removeprefix("torch.") if chosen is not None else None  # type: ignore[return-value]


def _chosen(what: str, given: DtypeLike, choices: Sequence[str]) -> torch.dtype | None:
    """None for auto. Names are those of torch's attributes, as in transformers: ``half`` is one of float16."""
    if given is None or given == "auto":
        return None
    import torch

    dtype = getattr(torch, given.removeprefix("torch."), None) if isinstance(given, str) else given
    if not isinstance(dtype, torch.dtype) or str(dtype).removeprefix("torch.") not in choices:
        raise UsageError(f"{what} '{given}' is unknown; choose one of auto, {', '.join(choices)}")
    return dtype


def token_bytes(hidden_size: int, wire: WireDtype) -> int:
    """Of one token's hidden state on its way."""
    if wire == "int8":
        return hidden_size + math.ceil(hidden_size / WIRE_SCALED) * _SCALE_BYTES
    return hidden_size * _VALUE_BYTES[wire]


def encode(hidden: torch.Tensor, wire: WireDtype) -> memoryview:
    """The bytes of [tokens, hidden size]; of int8 first all levels, then all scales."""
    import torch
    from torch.nn import functional

    if wire != "int8":
        return tensor_bytes(hidden.to(getattr(torch, wire)))
    tokens, hidden_size = hidden.shape
    padding = -hidden_size % WIRE_SCALED
    parts = functional.pad(hidden.detach().cpu().float(), (0, padding)).view(tokens, -1, WIRE_SCALED)
    scales = (parts.abs().amax(dim=2, keepdim=True) / 127).to(torch.bfloat16)
    wide = scales.float().clamp_min(torch.finfo(torch.float32).tiny)
    levels = (parts / wide).round().clamp(-127, 127).to(torch.int8).view(tokens, -1)[:, :hidden_size]
    return memoryview(b"".join((tensor_bytes(levels), tensor_bytes(scales))))


def decode(data: bytes | bytearray | memoryview, tokens: int, hidden_size: int, wire: WireDtype) -> torch.Tensor:
    """[tokens, hidden_size] of ``tokens * token_bytes(…)`` bytes; int8 becomes float32.

    Shares memory with ``data`` when that is writable.
    """
    import torch

    dtype = torch.float32 if wire == "int8" else getattr(torch, wire)
    if tokens == 0:
        return torch.empty(0, hidden_size, dtype=dtype)
    writable = data if isinstance(data, bytearray) else bytearray(data)
    if wire != "int8":
        return torch.frombuffer(writable, dtype=dtype).reshape(tokens, hidden_size)
    levels = torch.frombuffer(writable, dtype=torch.int8, count=tokens * hidden_size).view(tokens, hidden_size)
    scales = torch.frombuffer(writable, dtype=torch.bfloat16, offset=tokens * hidden_size).view(tokens, -1)
    return levels * scales.float().repeat_interleave(WIRE_SCALED, dim=1)[:, :hidden_size]


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The raw bytes of ``tensor``, without a copy if it is contiguous and on the CPU."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return memoryview(flat.numpy())  # type: ignore[arg-type]
