"""Exact reads and whole writes over one unix socket to the daemon."""

from __future__ import annotations

import trio

from dht.settings import READ_AHEAD_BYTES
from routing.errors import StreamClosed


class Connection:
    """A socket to our own daemon; a control conversation, or a libp2p stream once the daemon has joined it to one.

    Owned by whoever opened it: ``aclose`` ends it. It is only ever closed as a whole: if one half of a libp2p stream
    is closed, the daemon drops what still comes the other way.
    """

    def __init__(self, socket: trio.SocketStream, received: bytearray | None = None) -> None:
        self._socket = socket
        self._received = bytearray() if received is None else received
        self._sending = trio.Lock()

    async def receive_exactly(self, count: int) -> bytearray:
        """The next ``count`` bytes. A cancelled call loses nothing: the next one begins at the same byte.

        Raises StreamClosed if the other side ends before, and says whether that was before the first byte: whether it
        closed or died looks the same here.
        """
        if count > READ_AHEAD_BYTES:
            return await self._receive_large(count)
        while len(self._received) < count:
            data = await self._receive_some()
            if not data:
                raise self._end(len(self._received), count)
            self._received += data
        taken = self._received[:count]
        del self._received[:count]
        return taken

    async def send_all(self, *buffers: bytes | bytearray | memoryview) -> None:
        """Send ``buffers`` one after the other, with nothing of another task's in between.

        A call that is cancelled has sent nobody knows how much, so it closes the connection. Raises StreamClosed when
        the other side is gone.
        """
        async with self._sending:
            try:
                for piece in _pieces(buffers):
                    await self._socket.send_all(piece)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise StreamClosed("the other side went away while it was sent to") from error
            except trio.Cancelled:
                self.close()
                raise

    def close(self) -> None:
        """End the connection at once. Calls in other tasks raise StreamClosed; closing again does nothing."""
        self._socket.socket.close()

    async def aclose(self) -> None:
        """Like close(), for uses that expect to wait."""
        self.close()
        await trio.lowlevel.checkpoint()

    async def _receive_large(self, count: int) -> bytearray:
        """Straight into one buffer of the final size, so that a payload of MiB is copied once, by the kernel."""
        taken = bytearray(count)
        filled = min(len(self._received), count)
        taken[:filled] = self._received[:filled]
        del self._received[:filled]
        view = memoryview(taken)
        try:
            while filled < count:
                size = await self._socket.socket.recv_into(view[filled:])
                if not size:
                    raise self._end(filled, count)
                filled += size
        except (OSError, trio.ClosedResourceError) as error:
            raise StreamClosed("the other side went away") from error
        except trio.Cancelled:
            self._received[:0] = view[:filled]
            raise
        return taken

    async def _receive_some(self) -> bytes:
        try:
            return await self._socket.socket.recv(READ_AHEAD_BYTES)
        except (OSError, trio.ClosedResourceError) as error:
            raise StreamClosed("the other side went away") from error

    def _end(self, received: int, count: int) -> StreamClosed:
        if received == 0:
            return StreamClosed("the other side has ended the stream")
        return StreamClosed(f"the other side went away after {received} of {count} bytes")


def _pieces(buffers: tuple[bytes | bytearray | memoryview, ...]) -> list[bytes | memoryview]:
    """What to send in how many calls: small buffers together in one, large ones without a copy."""
    views = [view for buffer in buffers if (view := memoryview(buffer)).nbytes]
    if sum(view.nbytes for view in views) <= READ_AHEAD_BYTES:
        return [b"".join(views)] if views else []
    return [view.cast("B") for view in views]
