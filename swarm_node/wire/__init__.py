"""What crosses the network: messages, the frames they travel in, number formats, names of beginnings.

A node and a client both speak it; it knows neither of them."""

from __future__ import annotations

from swarm_node.wire.about import check_model
from swarm_node.wire.ask import answer_to, ask, asking, open_stream
from swarm_node.wire.card import ModelCard
from swarm_node.wire.dtypes import PLAIN, dtype_name, token_bytes, wire_named
from swarm_node.wire.frames import end_stream, error_of, failed, receive_message, send_message
from swarm_node.wire.messages import (
    HOP_PROTOCOL,
    SESSION_PROTOCOL,
    About,
    Attach,
    Close,
    Description,
    Failed,
    Message,
    NextHop,
    Open,
    Opened,
    Ping,
    Pong,
    Probe,
    Probed,
    Queued,
    Relied,
    Rely,
    Result,
    ResultBeside,
    Room,
    Step,
    StepBeside,
    Wait,
    WireDtype,
    is_decode,
)
from swarm_node.wire.prefix import Beginning, common_tokens, keys_within, more_keys, tokens_of

__all__ = [
    "HOP_PROTOCOL",
    "PLAIN",
    "SESSION_PROTOCOL",
    "About",
    "Attach",
    "Beginning",
    "Close",
    "Description",
    "Failed",
    "Message",
    "ModelCard",
    "NextHop",
    "Open",
    "Opened",
    "Ping",
    "Pong",
    "Probe",
    "Probed",
    "Queued",
    "Relied",
    "Rely",
    "Result",
    "ResultBeside",
    "Room",
    "Step",
    "StepBeside",
    "Wait",
    "WireDtype",
    "answer_to",
    "ask",
    "asking",
    "check_model",
    "common_tokens",
    "dtype_name",
    "end_stream",
    "error_of",
    "failed",
    "is_decode",
    "keys_within",
    "more_keys",
    "open_stream",
    "receive_message",
    "send_message",
    "token_bytes",
    "tokens_of",
    "wire_named",
]
