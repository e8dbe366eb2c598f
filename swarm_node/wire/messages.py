"""What nodes and clients say to each other: one schema for each message, bounded in every field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from swarm_node.settings import COMPANIONS_MAX, DECODE_TOKENS_MAX, PROBE_BYTES
from swarm_node.wire.settings import MAX_SESSION_TOKENS, PREFIX_KEY_BYTES, PREFIX_KEYS_MAX

SESSION_PROTOCOL = "/swarm-node/session/4"
"""Client to node: control of one session, and the data of its first hop and the results of its last."""
HOP_PROTOCOL = "/swarm-node/hop/4"
"""Node to next node: the hidden states of one session, and of others beside it."""


def printable(text: str) -> str:
    """``text`` without the characters that a terminal would obey: strangers' words end up on one."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _whole_keys(keys: bytes) -> bytes:
    if len(keys) % PREFIX_KEY_BYTES:
        raise ValueError(f"a key has {PREFIX_KEY_BYTES} bytes")
    return keys


SessionId = Annotated[bytes, Field(min_length=16, max_length=16)]
PeerId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Text = Annotated[
    str,
    StringConstraints(max_length=1024),
    AfterValidator(lambda text: printable(text)),
]
Fingerprint = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Tokens = Annotated[int, Field(ge=0, le=MAX_SESSION_TOKENS)]
DecodeTokens = Annotated[int, Field(ge=0, le=DECODE_TOKENS_MAX)]
StepNumber = Annotated[int, Field(ge=0, lt=2**62)]
Block = Annotated[int, Field(ge=0, le=65536)]
PrefixKeys = Annotated[bytes, Field(max_length=PREFIX_KEYS_MAX * PREFIX_KEY_BYTES), AfterValidator(_whole_keys)]
"""Of a session's beginnings, one after the other; see prefix.py."""
DtypeName = Literal["float32", "bfloat16", "float16"]
WireDtype = Literal["float32", "bfloat16", "float16", "int8"]
"""How hidden states travel, see dtypes.py."""


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
    prefix_keys: PrefixKeys = b""
    """Of what the client is about to send."""


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
    held_tokens: Tokens = 0
    """Tokens at the session's beginning that are here already: its first step may begin at any position up to there."""


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


class StepBeside(_Message):
    """A decode of another session in the frame of a Step; the fields as there."""

    session: SessionId
    number: StepNumber
    position: Tokens
    tokens: Annotated[int, Field(ge=1, le=DECODE_TOKENS_MAX)]
    keep: DecodeTokens


class Step(_Message):
    """Hidden states of ``tokens`` tokens at ``position``; the last hop returns those of the last ``keep`` tokens.

    A position before the session's end rolls it back to there first, so sending a step again is harmless.
    Payload: [tokens, hidden] in ``dtype``, then the same of each session beside.
    """

    type: Literal["step"] = "step"
    number: StepNumber
    position: Tokens
    tokens: Annotated[int, Field(ge=1, le=MAX_SESSION_TOKENS)]
    keep: Tokens
    dtype: WireDtype
    beside: Annotated[list[StepBeside], Field(max_length=COMPANIONS_MAX)] = []
    """Sessions of the same client with the same hops; each is as if it had come on its own stream."""


class ResultBeside(_Message):
    """The same of a session that came beside."""

    session: SessionId
    number: StepNumber
    tokens: DecodeTokens


class Result(_Message):
    """Last hop to client: hidden states after the last block.

    Payload: [tokens, hidden] in ``dtype``, then the same of each session beside.
    """

    type: Literal["result"] = "result"
    number: StepNumber
    tokens: Tokens
    dtype: WireDtype
    beside: Annotated[list[ResultBeside], Field(max_length=COMPANIONS_MAX)] = []


def tokens_in_all(message: Step | Result) -> int:
    """That its payload holds, of its session and those beside."""
    return message.tokens + sum([other.tokens for other in message.beside])


def is_decode(tokens: int) -> bool:
    """True for a step that somebody watches word by word."""
    return tokens <= DECODE_TOKENS_MAX


class Ping(_Message):
    """Either side: are you there? Answered with a Pong."""

    type: Literal["ping"] = "ping"


class Pong(_Message):
    """I am; and of this session ``steps`` are done: who has done fewest is where a stalled step is stuck."""

    type: Literal["pong"] = "pong"
    steps: Annotated[int, Field(ge=0, le=2**62)]


class Close(_Message):
    """Client, or the hop before or after: the session has ended as it should. An end without it is a death."""

    type: Literal["close"] = "close"
    prefix_keys: PrefixKeys = b""
    """Of what the session holds now, so that a later one which goes on from there need not send it again."""


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
