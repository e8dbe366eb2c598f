"""A client's trio loop in a thread of its own, for code that is not async: transformers' generate, a script, a CLI."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from functools import partial
from typing import TypeVar

import trio

from routing.errors import NetworkError, SwarmError, sole_error
from swarm_node.client.client import SwarmClient, open_client
from swarm_node.client.settings import CLIENT_END_SECONDS
from swarm_node.process import computing_alone
from swarm_node.wire import ModelCard, WireDtype

T = TypeVar("T")


class Bridge:
    """Runs a SwarmClient in a background thread.

    Owned by whoever made it; ``close`` ends the client and its thread. ``call`` may be used from any thread.
    """

    def __init__(
        self,
        card: ModelCard,
        initial_peers: Sequence[str],
        timeout: float,
        notice: Callable[[str], None],
        wire: WireDtype | None,
    ) -> None:
        """Start the thread, which joins the swarm; ``wait`` tells whether it has."""
        self.card = card
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._client: SwarmClient | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._closing = False
        self._computing: ExitStack | None = None
        joining = partial(open_client, card, initial_peers, timeout=timeout, notice=notice, wire=wire)
        self._thread = threading.Thread(target=self._run, args=(joining,), name="swarm-client", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return once the swarm is joined. Raises what open_client raises; the bridge is closed then."""
        try:
            self._ready.wait()
        except BaseException:
            self.close()
            raise
        if not self.running:
            self._thread.join()
            raise self._failure or NetworkError("the connection to the swarm ended at once")

    @property
    def running(self) -> bool:
        """False once the client has ended, for whatever reason."""
        return self._client is not None

    @property
    def client(self) -> SwarmClient:
        if self._client is None:
            raise self._closed()
        return self._client

    def call(self, function: Callable[..., Awaitable[T]], *args: object) -> T:
        """Run ``await function(*args)`` in the client's loop and wait for it.

        Ctrl-C while waiting cancels it there. Raises NetworkError when the client is closed.
        """
        token = self._token
        if token is None:
            raise self._closed()
        scope = trio.CancelScope()

        async def scoped() -> T:
            self._compute_alone()
            with scope:
                return await function(*args)
            raise NetworkError("the call was cancelled")

        try:
            return trio.from_thread.run(scoped, trio_token=token)
        except KeyboardInterrupt:
            self.soon(scope.cancel)
            raise
        except SwarmError:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again, without its group
            cause = sole_error(error)
            if isinstance(cause, RuntimeError | trio.Cancelled):
                # What a call sees of a client that ends under it; why it ended is what the caller should hear.
                self._thread.join(CLIENT_END_SECONDS)
                if not self._thread.is_alive():
                    raise self._closed() from None
            raise cause from None

    def soon(self, function: Callable[[], object]) -> None:
        """Run ``function`` in the client's loop without waiting: safe in finalizers. Nothing happens once closed."""
        token = self._token
        if token is None:
            return
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(function)

    def close(self) -> None:
        """End every session, leave the swarm and end the thread. May be called twice."""
        self._closing = True
        self.soon(self._scope.cancel)
        self._thread.join()

    def _closed(self) -> BaseException:
        return self._failure or NetworkError("the connection to the swarm is closed")

    def _run(self, joining: Callable[[], AbstractAsyncContextManager[SwarmClient]]) -> None:
        try:
            trio.run(self._main, joining)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread: by __init__, or by the next call
            self._failure = sole_error(error)
        finally:
            self._client = None
            self._token = None
            self._ready.set()
            if self._computing is not None:
                self._computing.close()

    def _compute_alone(self) -> None:
        """From its first call on the thread may compute; before, it need not wait for torch to be imported."""
        if self._computing is None:
            self._computing = ExitStack()
            self._computing.enter_context(computing_alone())

    async def _main(self, joining: Callable[[], AbstractAsyncContextManager[SwarmClient]]) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            if self._closing:
                return
            async with joining() as client:
                self._client = client
                self._ready.set()
                await trio.sleep_forever()
