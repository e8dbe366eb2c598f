"""How an error travels: its code on the wire and back."""

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


def code_of(error: SwarmError) -> str:
    """The wire code of the nearest class in the tree."""
    return next(code for code, kind in _CODES.items() if isinstance(error, kind))


def error_from(code: str, message: str) -> SwarmError:
    """The error a peer reported; codes of newer versions become plain SwarmErrors."""
    return _CODES.get(code, SwarmError)(message)
