"""``/swarm`` and ``/swarm/events``: whoever watches a swarm shares one reading of its directory with all others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from routing.errors import BlocksNotCovered, PeerSilent, SwarmError
from swarm_node.client import Sight
from swarm_node.gateway.errors import bad_request, problem_of, too_many
from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.operations import Operation
from swarm_node.gateway.picture import picture_of
from swarm_node.gateway.served import Served
from swarm_node.gateway.settings import MODEL_NAME_CHARS, PICTURE_READING_SECONDS, PICTURE_SECONDS, VIEWERS
from swarm_node.gateway.sse import EventStream, block


class Pictures:
    """The newest picture of one model's swarm. It reads when somebody asks, and no more often than PICTURE_SECONDS."""

    def __init__(self) -> None:
        self._reading = trio.Lock()
        self._read_at = -PICTURE_SECONDS
        self._picture: dict[str, Any] = {}
        self._silent: dict[str, float] = {}
        """When the record fades that a silent peer has left behind, by peer id."""

    async def newest(self, served: Served) -> dict[str, Any]:
        """The same ``served`` each time. Raises WrongModel, NetworkError."""
        async with self._reading:
            if trio.current_time() - self._read_at >= PICTURE_SECONDS:
                sight = await _sight(served)
                card, chats = served.batch.source.card, bool(served.tokenizer.chat_template)
                self._picture = picture_of(card, sight, self._silent_ones(sight), chats=chats)
                self._read_at = trio.current_time()
            return self._picture

    def _silent_ones(self, sight: Sight) -> set[str]:
        """Peers that have failed and not announced themselves since."""
        records = {node.peer_id: node.expires_at for node in sight.snapshot.nodes}
        known = {peer_id: at for peer_id, at in self._silent.items() if records.get(peer_id) == at}
        self._silent = known | {peer_id: records[peer_id] for peer_id in sight.failed & records.keys() - known.keys()}
        return set(self._silent)


async def _sight(served: Served) -> Sight:
    with trio.move_on_after(PICTURE_READING_SECONDS):
        return await served.batch.sight()
    raise PeerSilent(f"the swarm's directory did not answer within {PICTURE_READING_SECONDS:.0f} s; wait a moment")


class Viewers:
    """Who watches now, and the pictures that they share. Owned by the gateway's routes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._pictures: WeakKeyDictionary[Served, Pictures] = WeakKeyDictionary()
        self._count = 0

    async def picture(self, model: str | None) -> dict[str, Any]:
        """Of ``model``, or of the first that is served. Raises Refused, BlocksNotCovered, WrongModel, NetworkError."""
        return await self._newest(await self._served(model))

    @asynccontextmanager
    async def watching(self, model: str | None) -> AsyncIterator[AsyncIterator[str]]:
        """Events of a stream, one for each change. Raises Refused: 429 if too many watch already."""
        if self._count >= VIEWERS:
            raise too_many(f"{VIEWERS} viewers watch already; close a page that shows the swarm")
        self._count += 1
        try:
            async with aclosing(self._changes(model)) as changes:
                yield changes
        finally:
            self._count -= 1

    async def _changes(self, model: str | None) -> AsyncGenerator[str]:
        served = await self._served(model)
        shown: dict[str, Any] | None = None
        while True:
            failed = False
            try:
                picture = await self._newest(served)
            except SwarmError as error:
                picture, failed = {"problem": problem_of(error).message}, True
            if picture != shown:
                shown = picture
                yield block(picture)
            await trio.sleep(PICTURE_SECONDS)
            if failed:  # it may have been put away to make room for another model
                served = await self._served(model)

    async def _newest(self, served: Served) -> dict[str, Any]:
        return await self._pictures.setdefault(served, Pictures()).newest(served)

    async def _served(self, model: str | None) -> Served:
        models = self._gateway.models
        if model is None:
            names = models.names()
            if not names:
                raise BlocksNotCovered("no model is served here now; start nodes until every block of one is covered")
            model = names[0]
        return await models.served(model)


def routes(gateway: Gateway) -> list[BaseRoute]:
    viewers = Viewers(gateway)

    async def once(request: Request) -> Response:
        return JSONResponse(await viewers.picture(_model(request)), headers={"cache-control": "no-store"})

    async def events(request: Request) -> Response:
        return EventStream(viewers.watching(_model(request)))

    return [
        Operation("GET", "/swarm", once, summary="Which nodes serve which blocks of ?model=, and how busy they are."),
        Operation("GET", "/swarm/events", events, summary="The same as a stream: an event whenever something changes."),
    ]


def _model(request: Request) -> str | None:
    name = request.query_params.get("model")
    if name is not None and len(name) > MODEL_NAME_CHARS:
        raise bad_request(f"a model's name has at most {MODEL_NAME_CHARS} characters", "model")
    return name
