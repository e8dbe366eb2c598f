"""A visit to a swarm by somebody who serves nothing: under a name that nobody has seen before and nobody will again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dht.identity import Identity
from dht.peer import Peer, open_peer


@asynccontextmanager
async def open_guest(initial_peers: Sequence[str]) -> AsyncIterator[Peer]:
    """Join as a client under a throw-away identity, for as long as the body runs. Raises what open_peer() does."""
    with TemporaryDirectory(prefix="swarm-client-") as directory:
        identity = Identity.load_or_create(Path(directory) / "identity.key")
        async with open_peer(identity, initial_peers=initial_peers, client_only=True) as peer:
            yield peer
