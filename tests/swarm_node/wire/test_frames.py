"""Frames: what is sent arrives, and nothing else is believed."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
import pytest
import torch
import trio
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import ProtocolError, StreamClosed
from swarm_node.settings import COMPANIONS_MAX, DECODE_TOKENS_MAX
from swarm_node.wire.frames import decode_header, receive_message, send_message
from swarm_node.wire.messages import (
    Attach,
    Close,
    Failed,
    Message,
    NextHop,
    Open,
    Result,
    Step,
    StepBeside,
    tokens_in_all,
)
from swarm_node.wire.settings import (
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_SESSION_TOKENS,
    PREFIX_KEY_BYTES,
    PREFIX_KEYS_MAX,
)

SESSION = bytes(16)
STEP = Step(number=3, position=5, tokens=2, keep=1, dtype="float32")


class Tape:
    """A stream that plays back what was sent on it."""

    peer_id = "tape"

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    async def send_all(self, *buffers: bytes) -> None:
        for buffer in buffers:
            self.data += buffer

    async def receive_exactly(self, count: int) -> bytes:
        if len(self.data) < count:
            raise StreamClosed("end of tape")
        taken, self.data = self.data[:count], self.data[count:]
        return bytes(taken)


def sent(message: Message, payload: torch.Tensor | None = None) -> bytes:
    tape = Tape()
    trio.run(send_message, tape, message, payload)
    return bytes(tape.data)


def received(data: bytes, hidden_size: int | None = 4) -> tuple[Message, torch.Tensor | None]:
    return trio.run(receive_message, Tape(data), hidden_size)


def frame(header: Any, payload: bytes = b"") -> bytes:
    packed = msgpack.packb(header)
    return struct.pack(">II", len(packed), len(payload)) + packed + payload


@pytest.mark.parametrize(
    "message",
    [
        Close(),
        Attach(session=SESSION),
        Open(
            session=SESSION,
            model="abc",
            start=0,
            end=4,
            max_tokens=100,
            previous=None,
            next=NextHop(peer_id="p", addresses=["/ip4/127.0.0.1/tcp/1/p2p/p"]),
            prefix_keys=bytes(PREFIX_KEYS_MAX * PREFIX_KEY_BYTES),
        ),
    ],
    ids=lambda message: message.type,
)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    assert received(sent(message)) == (message, None)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_tensor_arrives_bit_for_bit(dtype: str) -> None:
    hidden = torch.randn(2, 4).to(getattr(torch, dtype))
    message, tensor = received(sent(STEP.model_copy(update={"dtype": dtype}), hidden))
    assert isinstance(message, Step)
    assert tensor is not None and torch.equal(tensor, hidden)


def test_a_tensor_that_is_not_contiguous_arrives_too() -> None:
    hidden = torch.randn(4, 2).T
    _, tensor = received(sent(STEP, hidden))
    assert tensor is not None and torch.equal(tensor, hidden)


@pytest.mark.parametrize("lengths", [(MAX_HEADER_BYTES + 1, 0), (10, MAX_PAYLOAD_BYTES + 1), (2**32 - 1, 2**32 - 1)])
def test_a_frame_that_is_too_long_is_refused_before_it_is_read(lengths: tuple[int, int]) -> None:
    with pytest.raises(ProtocolError, match="longer than the protocol allows"):
        received(struct.pack(">II", *lengths))


def test_a_frame_cut_short_ends_the_stream() -> None:
    whole = sent(STEP, torch.zeros(2, 4))
    for length in (0, 3, 8, 20, len(whole) - 1):
        with pytest.raises(StreamClosed):
            received(whole[:length])


def test_a_payload_of_another_size_than_its_shape_is_refused() -> None:
    header = STEP.model_dump()
    for payload in (b"", bytes(31), bytes(33)):
        with pytest.raises(ProtocolError, match="2 tokens of 4 values"):
            received(frame(header, payload))


def test_a_tensor_before_a_session_is_refused() -> None:
    with pytest.raises(ProtocolError, match="before the session"):
        received(sent(STEP, torch.zeros(2, 4)), hidden_size=None)


def test_a_payload_where_none_belongs_is_refused() -> None:
    with pytest.raises(ProtocolError, match="carries no tensor"):
        received(frame({"type": "close"}, b"x"))


@pytest.mark.parametrize(
    "header",
    [
        {},
        [],
        7,
        {"type": "unheard-of"},
        {"type": "close", "extra": 1},
        {"type": "close", "prefix_keys": bytes(PREFIX_KEY_BYTES - 1)},
        {"type": "close", "prefix_keys": bytes((PREFIX_KEYS_MAX + 1) * PREFIX_KEY_BYTES)},
        {"type": "close", "prefix_keys": [bytes(PREFIX_KEY_BYTES)]},
        {"type": "attach", "session": b"short"},
        {"type": "attach", "session": "a" * 16},
        {**STEP.model_dump(), "tokens": 0},
        {**STEP.model_dump(), "tokens": "2"},
        {**STEP.model_dump(), "position": -1},
        {**STEP.model_dump(), "number": 2**62},
        {**STEP.model_dump(), "dtype": "complex64"},
        {
            "type": "open",
            "session": SESSION,
            "model": "m" * 65,
            "start": 0,
            "end": 1,
            "max_tokens": 1,
            "previous": None,
        },
    ],
)
def test_a_header_that_breaks_the_schema_is_refused(header: Any) -> None:
    with pytest.raises(ProtocolError, match="header"):
        decode_header(msgpack.packb(header))


def test_a_strangers_words_cannot_steer_the_terminal() -> None:
    header = {"type": "failed", "code": "error", "message": "a\x1b[2Jb\r", "peer_id": None}
    message = decode_header(msgpack.packb(header))
    assert isinstance(message, Failed)
    assert message.message == "a [2Jb "


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_not_believed(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_header(data)


def test_a_step_longer_than_its_session_is_refused_before_there_is_memory_for_it() -> None:
    with pytest.raises(ProtocolError, match="session of 1"):
        trio.run(receive_message, Tape(sent(STEP, torch.zeros(2, 4))), 4, 1)


def test_an_empty_result_has_no_tensor_bytes() -> None:
    _, tensor = received(sent(Result(number=0, tokens=0, dtype="float32"), torch.empty(0, 4)))
    assert tensor is not None and tensor.shape == (0, 4)


def test_the_longest_header_of_a_shared_frame_is_within_the_bound() -> None:
    other = StepBeside(
        session=SESSION,
        number=2**62 - 1,
        position=MAX_SESSION_TOKENS,
        tokens=DECODE_TOKENS_MAX,
        keep=DECODE_TOKENS_MAX,
    )
    step = STEP.model_copy(update={"beside": [other] * COMPANIONS_MAX})
    message, hidden = received(sent(step, torch.zeros(tokens_in_all(step), 4)))
    assert message == step and hidden is not None and len(hidden) == 2 + COMPANIONS_MAX * DECODE_TOKENS_MAX


def test_a_frame_must_hold_the_tokens_of_all_its_sessions() -> None:
    other = StepBeside(session=SESSION, number=0, position=0, tokens=1, keep=1)
    with pytest.raises(ProtocolError, match="32 bytes are not 3 tokens of 4 values"):
        received(sent(STEP.model_copy(update={"beside": [other]}), torch.zeros(2, 4)))


def test_a_frame_of_too_many_sessions_is_refused() -> None:
    other = StepBeside(session=SESSION, number=0, position=0, tokens=1, keep=1)
    step = STEP.model_copy(update={"beside": [other] * (COMPANIONS_MAX + 1)})
    with pytest.raises(ProtocolError, match="beside: List should have at most 63 items"):
        received(sent(step, torch.zeros(tokens_in_all(step), 4)))
