"""What a node publishes of itself: a compact, versioned, bounded record, believed only after it was checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints, model_validator

from dht.multiaddr import PeerAddress, check_dialable, decode, encode
from dht.packed import PackedRecord
from dht.settings import ADDRESS_BYTES, ADDRESSES
from routing.coordinates import Coordinate
from routing.errors import ProtocolError, UsageError
from routing.settings import COORDINATE_SECONDS_MAX
from routing.snapshot import NodeState, NodeView
from routing.span import Span

RECORD_VERSION = 3

_STATES = (
    NodeState.JOINING,
    NodeState.LOADING,
    NodeState.MEASURING,
    NodeState.ONLINE,
    NodeState.DRAINING,
    NodeState.OFFLINE,
)
"""States by the number they have in records; numbers are only ever added."""

Bytes = Annotated[int, Field(ge=0, le=2**50)]
Tokens = Annotated[int, Field(ge=0, le=2**50)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
Block = Annotated[int, Field(ge=0, le=2**16)]
Sessions = Annotated[int, Field(ge=0, le=2**20)]
Rate = Annotated[float, Field(ge=0, le=2**50, allow_inf_nan=False)]
MeanTokens = Annotated[float, Field(ge=0, le=2**24, allow_inf_nan=False)]
Place = Annotated[float, Field(ge=-COORDINATE_SECONDS_MAX, le=COORDINATE_SECONDS_MAX, allow_inf_nan=False)]


class NodeRecord(PackedRecord):
    """One node's description of itself as it travels.

    Whose it is follows from where it was published. Every number is finite and bounded, texts are plain, and addresses
    can be called, so that nothing behind this needs to look at them again.
    """

    VERSION: ClassVar[int] = RECORD_VERSION

    state: int = Field(ge=0, lt=len(_STATES))
    start: Block
    end: Block
    memory_bytes: Bytes
    block_bytes: Bytes
    token_bytes: Bytes
    state_tokens: Tokens
    cache_tokens: Tokens
    free_tokens: Tokens
    prefill_seconds: Seconds
    decode_seconds: Seconds
    running: Sessions
    waiting: Sessions
    backlog_tokens: Tokens
    target_start: Block
    target_end: Block
    """No target: both 0."""
    pinned: bool
    joined_at: Annotated[float, Field(ge=0, le=2**40, allow_inf_nan=False)]
    job_rate: Rate
    prompt_tokens: MeanTokens
    new_tokens: MeanTokens
    coordinate: Annotated[list[Place], Field(min_length=2, max_length=2)]
    height: Annotated[float, Field(ge=0, le=COORDINATE_SECONDS_MAX, allow_inf_nan=False)]
    coordinate_error: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    upload_rate: Rate
    download_rate: Rate
    dtype: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9_]{1,16}\z")]
    software: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9.+!_-]{0,48}\z")]
    addresses: Annotated[list[Annotated[bytes, Field(max_length=ADDRESS_BYTES)]], Field(max_length=ADDRESSES)]
    """Multiaddresses in bytes, without the /p2p/ part of the node itself."""

    @model_validator(mode="after")
    def _is_consistent(self) -> NodeRecord:
        if self.start >= self.end:
            raise ValueError("the span holds no block")
        if self.target_start >= self.target_end > 0 or self.target_start > self.target_end:
            raise ValueError("the target holds no block")
        if self.free_tokens > self.cache_tokens:
            raise ValueError("more cache is free than there is")
        for address in self.addresses:
            check_dialable(decode(address))
        return self

    @classmethod
    def from_view(cls, view: NodeView) -> NodeRecord:
        """The record that describes ``view``, with its first addresses. Raises ProtocolError if it breaks a bound."""
        return cls.checked(
            {
                "version": RECORD_VERSION,
                "state": _STATES.index(view.state),
                "start": view.span.start,
                "end": view.span.end,
                "memory_bytes": view.memory_bytes,
                "block_bytes": view.block_bytes,
                "token_bytes": view.token_bytes,
                "state_tokens": view.state_tokens,
                "cache_tokens": view.cache_tokens,
                "free_tokens": view.free_tokens,
                "prefill_seconds": view.prefill_seconds,
                "decode_seconds": view.decode_seconds,
                "running": view.running,
                "waiting": view.waiting,
                "backlog_tokens": view.backlog_tokens,
                "target_start": view.target.start if view.target else 0,
                "target_end": view.target.end if view.target else 0,
                "pinned": view.pinned,
                "joined_at": view.joined_at,
                "job_rate": view.job_rate,
                "prompt_tokens": view.prompt_tokens,
                "new_tokens": view.new_tokens,
                "coordinate": [view.coordinate.x, view.coordinate.y],
                "height": view.coordinate.height,
                "coordinate_error": view.coordinate.error,
                "upload_rate": view.upload_rate,
                "download_rate": view.download_rate,
                "dtype": view.dtype,
                "software": view.version,
                "addresses": _transports(view.addresses[:ADDRESSES], view.peer_id),
            }
        )

    def to_view(self, peer_id: str) -> NodeView:
        """What the node ``peer_id`` says of itself in this record."""
        return NodeView(
            peer_id=peer_id,
            addresses=tuple(f"{decode(address)}/p2p/{peer_id}" for address in self.addresses),
            state=_STATES[self.state],
            span=Span(self.start, self.end),
            memory_bytes=self.memory_bytes,
            block_bytes=self.block_bytes,
            token_bytes=self.token_bytes,
            state_tokens=self.state_tokens,
            cache_tokens=self.cache_tokens,
            free_tokens=self.free_tokens,
            prefill_seconds=self.prefill_seconds,
            decode_seconds=self.decode_seconds,
            running=self.running,
            waiting=self.waiting,
            backlog_tokens=self.backlog_tokens,
            target=Span(self.target_start, self.target_end) if self.target_end else None,
            pinned=self.pinned,
            joined_at=self.joined_at,
            job_rate=self.job_rate,
            prompt_tokens=self.prompt_tokens,
            new_tokens=self.new_tokens,
            coordinate=Coordinate(self.coordinate[0], self.coordinate[1], self.height, self.coordinate_error),
            upload_rate=self.upload_rate,
            download_rate=self.download_rate,
            dtype=self.dtype,
            version=self.software,
        )


def _transports(addresses: Sequence[str], peer_id: str) -> list[bytes]:
    encoded = []
    for text in addresses:
        try:
            address = PeerAddress.parse(text)
        except UsageError as error:
            raise ProtocolError(f"bad record: {error}") from None
        if address.peer_id != peer_id:
            raise ProtocolError(f"bad record: {text} is the address of another peer")
        encoded.append(encode(address.transport))
    return encoded
