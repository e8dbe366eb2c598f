"""Frames of the session protocol: how messages and tensors are written, and read with every length bounded.

A frame is ``u32 header length | u32 payload length | header | payload``, big-endian. The header is a msgpack map
whose ``type`` names a message of messages.py; the payload holds a tensor's raw little-endian bytes and does not pass
through msgpack. Both lengths are checked before anything is allocated, and the payload's must be exactly what the
header's shape says.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Annotated, Any

import msgpack
import trio
from pydantic import Field, TypeAdapter, ValidationError

from dht import Stream
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
from swarm_node.settings import CLOSE_SECONDS, PROBE_BYTES
from swarm_node.wire.dtypes import decode, encode, tensor_bytes, token_bytes
from swarm_node.wire.messages import Close, Failed, Message, Probe, Probed, Result, Step, printable, tokens_in_all
from swarm_node.wire.settings import MAX_HEADER_BYTES, MAX_HEADER_ITEMS, MAX_PAYLOAD_BYTES, MAX_SESSION_TOKENS

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])
_LENGTHS = struct.Struct(">II")


async def send_message(stream: Stream, message: Message, payload: torch.Tensor | None = None) -> None:
    """Send one frame, the hidden states of a Step or Result in its dtype. StreamClosed: the other side is gone."""
    header = msgpack.packb(message.model_dump())
    body: bytes | memoryview = b""
    if payload is not None:
        body = encode(payload, message.dtype) if isinstance(message, Step | Result) else tensor_bytes(payload)
    await stream.send_all(_LENGTHS.pack(len(header), len(body)) + header, body)


async def receive_message(
    stream: Stream, hidden_size: int | None = None, max_tokens: int = MAX_SESSION_TOKENS
) -> tuple[Message, torch.Tensor | None]:
    """Read one frame; the tensor [tokens in all, hidden_size] comes with Step and Result, which need ``hidden_size``.

    A step of more than ``max_tokens`` tokens, the session's limit, is refused before there is memory for it.
    Raises ProtocolError for anything that breaks the schema or a bound, StreamClosed when the other side is gone.
    """
    header_length, payload_length = _LENGTHS.unpack(await stream.receive_exactly(_LENGTHS.size))
    if header_length > MAX_HEADER_BYTES or payload_length > MAX_PAYLOAD_BYTES:
        raise ProtocolError(f"frame of {header_length} + {payload_length} bytes is longer than the protocol allows")
    message = decode_header(bytes(await stream.receive_exactly(header_length)))
    if isinstance(message, Probe | Probed) and payload_length <= PROBE_BYTES:
        await stream.receive_exactly(payload_length)  # only their time counts
        return message, None
    if not isinstance(message, Step | Result):
        if payload_length:
            raise ProtocolError(f"a '{message.type}' frame carries no tensor, yet {payload_length} bytes follow it")
        return message, None
    if hidden_size is None:
        raise ProtocolError(f"a '{message.type}' frame before the session was opened")
    if message.tokens > max_tokens:
        raise ProtocolError(f"a '{message.type}' of {message.tokens} tokens in a session of {max_tokens}")
    tokens = tokens_in_all(message)
    if payload_length != tokens * token_bytes(hidden_size, message.dtype):
        raise ProtocolError(
            f"{payload_length} bytes are not {tokens} tokens of {hidden_size} values in {message.dtype}"
        )
    data = await stream.receive_exactly(payload_length)
    return message, decode(data, tokens, hidden_size, message.dtype)


async def end_stream(stream: Stream, last: Failed | Close) -> None:
    """Say a last word if the other side still listens, and close the stream. Not stopped by cancellation."""
    with trio.move_on_after(CLOSE_SECONDS, shield=True):
        try:
            await send_message(stream, last)
        except NetworkError:
            log.debug("%s went away before the last word", stream.peer_id)
        await stream.aclose()


def decode_header(header: bytes) -> Message:
    """Raises ProtocolError unless ``header`` is exactly one valid message."""
    try:
        fields: Any = msgpack.unpackb(
            header, max_map_len=MAX_HEADER_ITEMS, max_array_len=MAX_HEADER_ITEMS, max_ext_len=0
        )
        return _MESSAGES.validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ProtocolError(printable(f"bad frame header: {where}: {first['msg']}"[:200])) from None
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ProtocolError(printable(f"frame header is not msgpack: {error}"[:200])) from None


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
