"""The daemon's control protocol: one protobuf message each way over a unix socket, its length before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import trio
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from hivemind.proto import p2pd_pb2

from dht.daemon.connection import Connection
from dht.multiaddr import write_varint
from dht.settings import CONTROL_MESSAGE_BYTES
from routing.errors import DaemonError, StreamClosed

M = TypeVar("M", bound=Message)


class Refused(Exception):
    """The daemon did not do what it was asked to; the text is what it says of the reason. Stays inside this package."""


async def ask(control: Path, **request: Any) -> Any:
    """Ask the daemon behind the socket ``control``; returns its Response. Raises Refused or DaemonError."""
    response, connection = await converse(control, **request)
    connection.close()
    return response


async def converse(control: Path, **request: Any) -> tuple[Any, Connection]:
    """Like ask(), but the connection stays open, for requests that turn it into something else."""
    try:
        connection = Connection(await trio.open_unix_socket(str(control)))
    except OSError as error:
        raise DaemonError("the libp2p daemon is gone; start again") from error
    answered = False
    try:
        await send_message(connection, p2pd_pb2.Request(**request))
        response = await receive_message(connection, p2pd_pb2.Response)
        if response.type != p2pd_pb2.Response.OK:
            raise Refused(response.error.msg)
        answered = True
    except StreamClosed as error:
        raise DaemonError("the libp2p daemon has hung up; start again") from error
    finally:
        if not answered:
            connection.close()
    return response, connection


async def send_message(connection: Connection, message: Message) -> None:
    """Raises StreamClosed."""
    body = message.SerializeToString()
    await connection.send_all(write_varint(len(body)), body)


async def receive_message(connection: Connection, kind: type[M]) -> M:
    """Raises StreamClosed, or DaemonError for something that is no such message."""
    length = shift = 0
    while True:
        (byte,) = await connection.receive_exactly(1)
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
        if length > CONTROL_MESSAGE_BYTES:
            raise DaemonError("the libp2p daemon sent a message that is too long")
    if length > CONTROL_MESSAGE_BYTES:
        raise DaemonError("the libp2p daemon sent a message that is too long")
    try:
        return kind.FromString(bytes(await connection.receive_exactly(length)))
    except DecodeError as error:
        raise DaemonError("the libp2p daemon sent a message that cannot be read") from error
