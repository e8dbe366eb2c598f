"""Question and answer as they travel: one msgpack list each way, its length before it, every part bounded."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from dht.daemon import Stream
from dht.entry import Entry
from dht.peer_id import SIGNATURE_BYTES
from dht.settings import ANSWER_BYTES, QUESTION_BYTES, QUESTION_KEYS, RECORD_BYTES
from routing.errors import ProtocolError

ENQUIRY_PROTOCOL = "/swarm-node/entries/1"
"""Client to node: what lies under these keys? One question a stream."""

_LENGTH = struct.Struct(">I")
_PEER_ID_CHARACTERS = 64
_ENTRIES = ANSWER_BYTES // SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Claim:
    """That ``publisher`` has published this; not yet verified."""

    publisher: str
    signed: bytes
    expiration: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What a node knows: its time (unix seconds), and the claims under each key."""

    time: float
    claims: list[list[Claim]]


async def send_question(stream: Stream, keys: Sequence[str]) -> None:
    """Raises StreamClosed."""
    await _send(stream, msgpack.packb(list(keys)))


async def receive_question(stream: Stream) -> tuple[str, ...]:
    """The keys. Raises ProtocolError for anything that breaks a bound, StreamClosed."""
    keys = await _receive(stream, QUESTION_BYTES)
    if len(keys) > QUESTION_KEYS or not all(isinstance(key, str) for key in keys):
        raise ProtocolError("a question is not a short list of keys")
    return tuple(keys)


def packed_reply(now: float, found: Sequence[Mapping[str, Entry]]) -> bytes:
    """What send_reply() sends; of more than fits, some is left out."""
    room = ANSWER_BYTES - QUESTION_BYTES  # what goes before the entries is shorter than the question
    lists: list[list[tuple[str, bytes, float]]] = []
    for entries in found:
        lists.append(taken := [])
        for publisher, entry in entries.items():
            room -= len(publisher) + len(entry.signed) + 16
            if room < 0:
                break
            taken.append((publisher, entry.signed, entry.expiration))
    packed: bytes = msgpack.packb([now, lists])
    return packed


async def send_reply(stream: Stream, packed: bytes) -> None:
    """Raises StreamClosed."""
    await _send(stream, packed)


async def receive_reply(stream: Stream, keys: int) -> Reply:
    """The answer to a question with so many keys. Raises ProtocolError, StreamClosed."""
    parts = await _receive(stream, ANSWER_BYTES)
    if len(parts) != 2 or not isinstance(parts[0], float) or not math.isfinite(parts[0]):
        raise ProtocolError("an answer tells no time")
    if not isinstance(parts[1], list) or len(parts[1]) != keys:
        raise ProtocolError("an answer is not to the keys that were asked for")
    return Reply(parts[0], [[_claim(item) for item in _list(claims)] for claims in parts[1]])


def _claim(item: Any) -> Claim:
    match item:
        case [str(publisher), bytes(signed), float(expiration)]:
            if len(publisher) <= _PEER_ID_CHARACTERS and len(signed) <= RECORD_BYTES + SIGNATURE_BYTES:
                return Claim(publisher, signed, expiration)
    raise ProtocolError("an answer holds something that is no entry")


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise ProtocolError("an answer holds something that is no list")
    return found


async def _send(stream: Stream, packed: bytes) -> None:
    await stream.send_all(_LENGTH.pack(len(packed)), packed)


async def _receive(stream: Stream, most: int) -> list[Any]:
    (length,) = _LENGTH.unpack(await stream.receive_exactly(_LENGTH.size))
    if length > most:
        raise ProtocolError(f"a message of {length} bytes is longer than {most}")
    packed = await stream.receive_exactly(length)
    try:
        found = msgpack.unpackb(packed, max_array_len=_ENTRIES, max_map_len=0, max_ext_len=0)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"a message is not msgpack: {str(error)[:100]}") from None
    return _list(found)
