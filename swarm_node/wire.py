"""Frames of the session protocol: what they say, and how they are read with every length bounded.

A frame is ``u32 header length | u32 payload length | header | payload``, big-endian. The header is a msgpack map
whose ``type`` names one of the messages below; the payload holds a tensor's raw little-endian bytes and does not pass
through msgpack. Both lengths are checked before anything is allocated, and the payload's must be exactly what the
header's shape says.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgpack
import torch
import trio
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from routing.errors import NetworkError, ProtocolError
from swarm_node.settings import CLOSE_SECONDS, MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES, MAX_SESSION_TOKENS, PROBE_BYTES

if TYPE_CHECKING:
    from dht import Stream

log = logging.getLogger(__name__)

SESSION_PROTOCOL = "/swarm-node/session/2"
"""Client to node: control of one session, and the data of its first hop and the results of its last."""
HOP_PROTOCOL = "/swarm-node/hop/2"
"""Node to next node: the hidden states of one session."""

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

SessionId = Annotated[bytes, Field(min_length=16, max_length=16)]
PeerId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Text = Annotated[
    str,
    StringConstraints(max_length=1024),
    AfterValidator(lambda text: printable(text)),
]
Fingerprint = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Tokens = Annotated[int, Field(ge=0, le=MAX_SESSION_TOKENS)]
StepNumber = Annotated[int, Field(ge=0, lt=2**62)]
Block = Annotated[int, Field(ge=0, le=65536)]
DtypeName = Literal["float32", "bfloat16", "float16"]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class About(_Message):
    """Client: what do you serve?"""

    type: Literal["about"] = "about"


class Description(_Message):
    """Node: this."""

    type: Literal["description"] = "description"
    model: Fingerprint
    name: Text
    start: Block
    end: Block


class NextHop(_Message):
    """Where a node sends a session's hidden states on to."""

    peer_id: PeerId
    addresses: Annotated[list[Annotated[str, StringConstraints(max_length=512)]], Field(max_length=16)]


class Open(_Message):
    """Client: reserve cache for a session of at most ``max_tokens`` on blocks ``start`` to ``end - 1``."""

    type: Literal["open"] = "open"
    session: SessionId
    model: Fingerprint
    start: Block
    end: Block
    max_tokens: Annotated[int, Field(ge=1, le=MAX_SESSION_TOKENS)]
    previous: PeerId | None
    """The only peer that may send this session's hidden states over a hop stream; None: they come on this stream."""
    next: NextHop | None
    """None: results go back on this stream."""


class Wait(_Message):
    """Client: a place in line for a session of at most ``max_tokens`` on blocks ``start`` to ``end - 1``.

    Answered with Queued and then, each time room was set aside for it, with Room. ``open`` on the same stream takes it.
    """

    type: Literal["wait"] = "wait"
    model: Fingerprint
    start: Block
    end: Block
    max_tokens: Annotated[int, Field(ge=1, le=MAX_SESSION_TOKENS)]
    since: Annotated[float, Field(ge=0, le=2**40, allow_inf_nan=False)]
    """When the client began to wait (unix seconds)."""


class Queued(_Message):
    """Node: you are in line, and so many are before you."""

    type: Literal["queued"] = "queued"
    ahead: Annotated[int, Field(ge=0, le=2**20)]


class Room(_Message):
    """Node: room is set aside for you, for OFFER_SECONDS."""

    type: Literal["room"] = "room"


class Rely(_Message):
    """Node to node: I am about to leave blocks ``start`` to ``end - 1``; will you stay on them?"""

    type: Literal["rely"] = "rely"
    model: Fingerprint
    start: Block
    end: Block


class Relied(_Message):
    """Node: I serve these of them and shall not leave them for PROMISE_SECONDS; empty if start = end."""

    type: Literal["relied"] = "relied"
    start: Block
    end: Block


class Probe(_Message):
    """Node to node: here are bytes, send me ``answer_bytes``: measures bandwidth. Payload: at most PROBE_BYTES."""

    type: Literal["probe"] = "probe"
    answer_bytes: Annotated[int, Field(ge=0, le=PROBE_BYTES)]


class Probed(_Message):
    """Node: here they are. Payload: that many."""

    type: Literal["probed"] = "probed"


class Opened(_Message):
    """Node: the cache is reserved."""

    type: Literal["opened"] = "opened"
    backlog_tokens: Annotated[int, Field(ge=0, le=2**50)] = 0
    """Block-tokens of prompts that it has yet to compute."""


class Failed(_Message):
    """Node: the session cannot be opened or go on; ``peer_id`` names another hop whose fault it is."""

    type: Literal["failed"] = "failed"
    code: Annotated[str, StringConstraints(max_length=32)]
    message: Text
    peer_id: PeerId | None = None
    free_tokens: Annotated[int, Field(ge=0, le=2**50)] | None = None
    """Of a node that is full: its free cache now, in block-tokens."""


class Attach(_Message):
    """Node to next node: this stream carries the session's steps."""

    type: Literal["attach"] = "attach"
    session: SessionId


class Step(_Message):
    """Hidden states of ``tokens`` tokens at ``position``; the last hop returns those of the last ``keep`` tokens.

    A position before the session's end rolls it back to there first, so sending a step again is harmless.
    Payload: [tokens, hidden] in ``dtype``.
    """

    type: Literal["step"] = "step"
    number: StepNumber
    position: Tokens
    tokens: Annotated[int, Field(ge=1, le=MAX_SESSION_TOKENS)]
    keep: Tokens
    dtype: DtypeName


class Result(_Message):
    """Last hop to client: hidden states after the last block. Payload: [tokens, hidden] in ``dtype``."""

    type: Literal["result"] = "result"
    number: StepNumber
    tokens: Tokens
    dtype: DtypeName


class Ping(_Message):
    """Either side: are you there? Answered with a Pong."""

    type: Literal["ping"] = "ping"


class Pong(_Message):
    """I am; and of this session ``steps`` are done: who has done fewest is where a stalled step is stuck."""

    type: Literal["pong"] = "pong"
    steps: Annotated[int, Field(ge=0, le=2**62)]


class Close(_Message):
    """Client, or the earlier hop: the session has ended as it should. An end without it is a death."""

    type: Literal["close"] = "close"


Message = (
    About
    | Description
    | Open
    | Opened
    | Wait
    | Queued
    | Room
    | Rely
    | Relied
    | Probe
    | Probed
    | Failed
    | Attach
    | Step
    | Result
    | Ping
    | Pong
    | Close
)
_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])
_LENGTHS = struct.Struct(">II")


async def send_message(stream: Stream, message: Message, payload: torch.Tensor | None = None) -> None:
    """Send one frame. Raises StreamClosed when the other side is gone."""
    header = msgpack.packb(message.model_dump())
    body = b"" if payload is None else tensor_bytes(payload)
    await stream.send_all(_LENGTHS.pack(len(header), len(body)) + header, body)


async def receive_message(
    stream: Stream, hidden_size: int | None = None, max_tokens: int = MAX_SESSION_TOKENS
) -> tuple[Message, torch.Tensor | None]:
    """Read one frame; the tensor [tokens, hidden_size] comes with Step and Result, which need ``hidden_size``.

    A frame of more than ``max_tokens`` tokens, the session's limit, is refused before there is memory for it.
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
    dtype = DTYPES[message.dtype]
    if payload_length != message.tokens * hidden_size * dtype.itemsize:
        raise ProtocolError(
            f"{payload_length} bytes are not {message.tokens} tokens of {hidden_size} values in {message.dtype}"
        )
    data = await stream.receive_exactly(payload_length)
    return message, tensor_from(data, message.tokens, hidden_size, dtype)


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
        fields: Any = msgpack.unpackb(header, max_map_len=64, max_array_len=64, max_ext_len=0)
        return _MESSAGES.validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ProtocolError(printable(f"bad frame header: {where}: {first['msg']}"[:200])) from None
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ProtocolError(printable(f"frame header is not msgpack: {error}"[:200])) from None


def printable(text: str) -> str:
    """``text`` without the characters that a terminal would obey: strangers' words end up on one."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The raw bytes of ``tensor``, without a copy if it is contiguous and on the CPU."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return memoryview(flat.numpy())  # type: ignore[arg-type]


def tensor_from(
    data: bytes | bytearray | memoryview, tokens: int, hidden_size: int, dtype: torch.dtype
) -> torch.Tensor:
    """[tokens, hidden_size]; shares memory with ``data`` when that is writable."""
    if tokens == 0:
        return torch.empty(0, hidden_size, dtype=dtype)
    writable = data if isinstance(data, bytearray) else bytearray(data)
    return torch.frombuffer(writable, dtype=dtype).reshape(tokens, hidden_size)


def dtype_name(dtype: torch.dtype) -> DtypeName:
    """The wire name of ``dtype``; raises ProtocolError for one the wire does not carry."""
    for name, candidate in DTYPES.items():
        if candidate is dtype:
            return name  # type: ignore[return-value]
    raise ProtocolError(f"{dtype} does not travel; use float32, bfloat16 or float16")
