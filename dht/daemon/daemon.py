"""The libp2p daemon of this process, spoken to from trio."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import trio
from hivemind.proto import p2pd_pb2

from dht.daemon.connection import Connection
from dht.daemon.control import Refused, ask, converse, receive_message
from dht.daemon.dial_error import dial_error
from dht.daemon.process import DaemonProcess, check_port
from dht.daemon.stream import Stream
from dht.identity import Identity
from dht.multiaddr import decode, encode
from dht.nursery import open_owner_nursery
from dht.peer_id import peer_id_bytes, peer_id_text, short_name
from dht.settings import (
    CONNECTIONS_HIGH,
    CONNECTIONS_LOW,
    CONTROL_SECONDS,
    DAEMON_IDLE_SECONDS,
    DAEMON_START_SECONDS,
    SOCKET_BACKLOG,
    STREAM_GREETING_SECONDS,
)
from routing.errors import DaemonError, PeerUnreachable, StreamClosed, SwarmError

log = logging.getLogger(__name__)

T = TypeVar("T")
StreamHandler = Callable[[Stream], Awaitable[None]]


class Daemon:
    """Connections and streams through the libp2p daemon.

    Owned by ``open_daemon``, usable until that ends. Every call raises DaemonError if the daemon is gone.
    """

    def __init__(self, control: Path, peer_id: str, addresses: tuple[str, ...]) -> None:
        self.control = control
        """The unix socket it answers at; its directory is private to this process."""
        self.peer_id = peer_id
        self.addresses = addresses
        """Where it listens, as multiaddresses without the peer id."""

    async def connect(self, peer_id: str, transports: Sequence[str], timeout: float) -> None:
        """Have a connection to a peer, over any of ``transports`` or what is known already; at once if there is one.

        Raises PeerUnreachable with the reason, after ``timeout`` seconds at the latest.
        """
        request = p2pd_pb2.ConnectRequest(
            peer=peer_id_bytes(peer_id), addrs=[encode(text) for text in transports], timeout=math.ceil(timeout)
        )
        call = ask(self.control, type=p2pd_pb2.Request.CONNECT, connect=request)
        await _reach(peer_id, call, timeout)

    async def open_stream(self, peer_id: str, protocol: str, timeout: float) -> Stream:
        """A new stream to a peer that serves ``protocol``.

        Raises PeerUnreachable with the reason, after ``timeout`` seconds at the latest.
        """
        request = p2pd_pb2.StreamOpenRequest(peer=peer_id_bytes(peer_id), proto=[protocol], timeout=math.ceil(timeout))
        call = converse(self.control, type=p2pd_pb2.Request.STREAM_OPEN, streamOpen=request)
        response, connection = await _reach(peer_id, call, timeout)
        return Stream(connection, peer_id_text(response.streamInfo.peer))

    async def serve(
        self, protocol: str, handler: StreamHandler, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run ``handler`` for every stream that peers open with ``protocol``, until cancelled.

        The stream is closed when its handler returns. A SwarmError of a handler ends its own stream only; any other
        exception is a defect and ends the serving.
        """
        path = self.control.with_name(f"{secrets.token_hex(4)}.sock")
        listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        await listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(SOCKET_BACKLOG)

        async def accept(socket: trio.SocketStream) -> None:
            await _handle(Connection(socket), handler, protocol)

        try:
            async with open_owner_nursery() as nursery:
                await nursery.start(trio.serve_listeners, accept, [trio.SocketListener(listening)])
                await self._register(protocol, path)
                task_status.started()
                await trio.sleep_forever()
        finally:
            path.unlink()
            with trio.move_on_after(CONTROL_SECONDS, shield=True):
                await self._unregister(protocol, path)

    async def _register(self, protocol: str, path: Path) -> None:
        request = p2pd_pb2.StreamHandlerRequest(addr=encode(f"/unix{path}"), proto=[protocol], balanced=False)
        try:
            await _in_time(ask(self.control, type=p2pd_pb2.Request.STREAM_HANDLER, streamHandler=request))
        except Refused as refusal:
            raise DaemonError(f"cannot serve {protocol}: {refusal}") from None

    async def _unregister(self, protocol: str, path: Path) -> None:
        request = p2pd_pb2.RemoveStreamHandlerRequest(addr=encode(f"/unix{path}"), proto=[protocol])
        try:
            await ask(self.control, type=p2pd_pb2.Request.REMOVE_STREAM_HANDLER, removeStreamHandler=request)
        except (Refused, DaemonError) as error:
            log.debug("%s stays registered: %s", protocol, error)


@asynccontextmanager
async def open_daemon(identity: Identity, host: str | None, port: int, run_directory: Path) -> AsyncIterator[Daemon]:
    """Start a libp2p daemon under ``identity``, listening on ``host`` and TCP ``port`` (0: any), on nothing if None.

    Its sockets are made in ``run_directory``, which must be private. It ends with the body; if it ends before, the body
    is cancelled and DaemonError comes out. If this process is killed, it ends too.

    Raises PortTaken, UsageError for a host that is not this machine's, DaemonError if it does not start.
    """
    if host is not None:
        check_port(host, port)
    control = run_directory / "control.sock"
    process = DaemonProcess(_arguments(identity, host, port, control))
    try:
        async with open_owner_nursery() as nursery:
            try:
                with trio.fail_after(DAEMON_START_SECONDS):
                    await process.wait_until_ready()
            except trio.TooSlowError:
                raise DaemonError(f"the libp2p daemon did not start within {DAEMON_START_SECONDS:g} s") from None
            nursery.start_soon(process.watch)
            _, connection = await _in_time(converse(control, type=p2pd_pb2.Request.PERSISTENT_CONN_UPGRADE))
            nursery.start_soon(_hold, connection)
            response = await _in_time(ask(control, type=p2pd_pb2.Request.IDENTIFY))
            peer_id = peer_id_text(response.identify.id)
            if peer_id != identity.peer_id:
                raise DaemonError(f"the identity {identity.path} was changed while it was in use; start again")
            yield Daemon(control, peer_id, _listening(response.identify.addrs))
    finally:
        await process.stop()


def _arguments(identity: Identity, host: str | None, port: int, control: Path) -> list[str]:
    arguments = [
        f"-listen=/unix{control}",
        f"-idleTimeout={DAEMON_IDLE_SECONDS}s",
        f"-id={identity.path.absolute()}",
        "-connManager=1",
        f"-connLo={CONNECTIONS_LOW}",
        f"-connHi={CONNECTIONS_HIGH}",
    ]
    if host is None:
        return [*arguments, "-noListenAddrs=1", "-dhtClient=1"]
    listening = f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"
    arguments += [f"-hostAddrs={listening}", "-dhtServer=1"]
    # A node that only this machine can reach has no router to ask for a way in.
    return arguments if ip_address(host).is_loopback else [*arguments, "-autonat=1", "-natPortMap=1"]


def _listening(addresses: Sequence[bytes]) -> tuple[str, ...]:
    texts: list[str] = []
    for address in addresses:
        try:
            texts.append(decode(address))
        except ValueError as error:
            log.debug("the daemon listens at an address not understood here: %s", error)
    return tuple(texts)


async def _hold(connection: Connection) -> None:
    """Keep the connection whose end tells the daemon to end too; returns when the daemon is gone."""
    try:
        while True:
            await receive_message(connection, p2pd_pb2.PersistentConnectionResponse)
    except StreamClosed:
        log.debug("the libp2p daemon has let go")  # whoever watches the process reports its end
    finally:
        connection.close()


async def _handle(connection: Connection, handler: StreamHandler, protocol: str) -> None:
    try:
        with trio.fail_after(STREAM_GREETING_SECONDS):
            info = await receive_message(connection, p2pd_pb2.StreamInfo)
        stream = Stream(connection, peer_id_text(info.peer))
    except (trio.TooSlowError, ValueError, SwarmError) as error:
        log.warning("a stream for %s came without its peer's name: %r", protocol, error)
        connection.close()
        return
    try:
        await handler(stream)
    except* SwarmError as group:
        log.info("%s stream of %s ended: %s", protocol, short_name(stream.peer_id), group.exceptions[0])
    finally:
        stream.close()


async def _reach(peer_id: str, call: Awaitable[T], timeout: float) -> T:
    try:
        with trio.fail_after(timeout):
            return await call
    except trio.TooSlowError:
        raise PeerUnreachable(f"peer {short_name(peer_id)}: no answer within {timeout:g} s") from None
    except Refused as refusal:
        log.debug("peer %s: %s", peer_id, refusal)
        raise PeerUnreachable(f"peer {short_name(peer_id)}: {dial_error(str(refusal))}") from None


async def _in_time(call: Awaitable[T]) -> T:
    try:
        with trio.fail_after(CONTROL_SECONDS):
            return await call
    except trio.TooSlowError:
        raise DaemonError(f"the libp2p daemon did not answer within {CONTROL_SECONDS:g} s; start again") from None
