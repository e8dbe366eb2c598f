"""How an error travels: as a Failed message, and back."""

from __future__ import annotations

from routing.errors import (
    CacheFull,
    ChainBroken,
    ContextTooLong,
    ModelError,
    NetworkError,
    ProtocolError,
    SwarmError,
    UsageError,
    WrongModel,
)
from swarm_node.messages import Failed

_CODES: dict[str, type[SwarmError]] = {
    "cache-full": CacheFull,
    "wrong-model": WrongModel,
    "context-too-long": ContextTooLong,
    "protocol": ProtocolError,
    "network": NetworkError,
    "model": ModelError,
    "usage": UsageError,
    "broken": ChainBroken,
    "error": SwarmError,
}


def failed(error: SwarmError) -> Failed:
    """``error`` as it is told to a peer: with the code of the nearest class in the tree."""
    return Failed(
        code=next(code for code, kind in _CODES.items() if isinstance(error, kind)),
        message=str(error)[:1024],
        peer_id=error.peer_id if isinstance(error, ChainBroken) else None,
        free_tokens=error.free_tokens if isinstance(error, CacheFull) else None,
    )


def error_of(message: Failed) -> SwarmError:
    """The error that a peer reported; codes of newer versions become plain SwarmErrors."""
    kind = _CODES.get(message.code, SwarmError)
    if kind is CacheFull:
        return CacheFull(message.message, message.free_tokens)
    return kind(message.message)
