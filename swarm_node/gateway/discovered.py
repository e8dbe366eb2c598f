"""Models that a gateway finds in its swarm, and loads when somebody first asks for them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio

from dht import open_guest, read_models
from dht.nursery import open_owner_nursery
from routing import PresentModel
from routing.errors import NetworkError
from swarm_node.gateway.errors import too_many, unknown_model
from swarm_node.gateway.served import Served
from swarm_node.gateway.settings import LINGER_SECONDS, LOADED_MODELS, LOOK_SECONDS, REFUSAL_SECONDS
from swarm_node.generate import Batch
from swarm_node.model import ModelSource, open_present
from swarm_node.tasks import in_thread

log = logging.getLogger(__name__)

Look = Callable[[], Awaitable[Sequence[PresentModel]]]
"""Reads which models the swarm has, the most useful first. May raise NetworkError."""
Load = Callable[[PresentModel], AbstractAsyncContextManager[Served]]
"""Makes a model ready for as long as the body runs."""


class _Place:
    """One of the loaded models, from the moment that somebody wants it until it is put away."""

    def __init__(self) -> None:
        self.name = ""
        self.served: Served | None = None
        self.failure: Exception | None = None
        self.settled = trio.Event()
        """It is ready, or has failed."""
        self.leave = trio.Event()
        self.gone = trio.Event()
        self.asked_at = trio.current_time()

    @property
    def idle(self) -> bool:
        """Whether nobody would miss it."""
        lately = trio.current_time() - self.asked_at < LINGER_SECONDS
        return self.served is not None and not self.served.batch.busy and not lately and not self.leave.is_set()


class DiscoveredModels:
    """Every model whose blocks are all served and that the Hub has, by the name that most of its nodes give it.

    Owned by whoever owns ``nursery``, in which each loaded model lives. At most LOADED_MODELS are; for one more, that
    which was asked for the longest ago and has no answer under way makes room.
    """

    def __init__(self, look: Look, load: Load, nursery: trio.Nursery) -> None:
        self._look = look
        self._load = load
        self._nursery = nursery
        self._present: Sequence[PresentModel] = ()
        self._places: dict[str, _Place] = {}
        """By fingerprint."""
        self._refused: dict[str, float] = {}
        """Fingerprints whose files could not be had, and until when they are not tried again."""
        self._making_room = trio.Lock()

    async def look(self) -> None:
        """Read anew which models there are. Raises NetworkError."""
        self._present = await self._look()

    async def keep_looking(self) -> None:
        """Read every LOOK_SECONDS, until cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except NetworkError as error:
                log.info("could not look which models there are: %s", error)

    def names(self) -> Sequence[str]:
        """Of the models that can be asked for now."""
        loaded = [place.name for place in self._places.values() if place.served is not None]
        return list(dict.fromkeys([*loaded, *(model.card.name for model in self._askable())]))

    def absent(self) -> str | None:
        """One line on why there are none that can be asked for; None if there are."""
        if self.names():
            return None
        for model in self._present:
            if model.covered and all(card.revision is None for card in model.cards):
                return (
                    f"the swarm's model {model.card.name} is from a directory of its nodes, not from the Hub; "
                    "serve it with --model DIRECTORY"
                )
        return "no model of the swarm has all its blocks served; each can be asked here from the moment that it has"

    async def served(self, name: str) -> Served:
        """The model of this name; of several, the first whose files are what its nodes say.

        Raises Refused for a name that nobody serves, or where all places are taken by models in use; what opening it
        raised if that failed.
        """
        for place in self._places.values():
            if place.name == name and place.served is not None and not place.leave.is_set():
                place.asked_at = trio.current_time()
                return place.served
        failure: Exception = unknown_model(name)
        for model in [model for model in self._askable() if model.card.name == name]:
            place = await self._place(model)
            await place.settled.wait()
            if place.served is not None:
                place.asked_at = trio.current_time()
                return place.served
            failure = place.failure or failure
        raise failure

    def _askable(self) -> list[PresentModel]:
        now = trio.current_time()
        return [
            model
            for model in self._present
            if model.covered
            and any(card.revision is not None for card in model.cards)
            and self._refused.get(model.card.fingerprint, now) <= now
        ]

    async def _place(self, model: PresentModel) -> _Place:
        """Where the model is loaded, or is about to be."""
        fingerprint = model.card.fingerprint
        async with self._making_room:
            place = self._places.get(fingerprint)
            if place is None or place.leave.is_set():
                await self._make_room(place)
                place = self._places[fingerprint] = _Place()
                self._nursery.start_soon(self._hold, model, place)
            return place

    async def _make_room(self, leaving: _Place | None) -> None:
        """Until there is a place for one more, and ``leaving`` is gone."""
        if leaving is None and len(self._places) >= LOADED_MODELS:
            idle = [place for place in self._places.values() if place.idle]
            if not idle:
                raise too_many(f"{LOADED_MODELS} models are in use here, and there is no room for another")
            leaving = min(idle, key=lambda place: place.asked_at)
            leaving.leave.set()
        if leaving is not None:
            await leaving.gone.wait()

    async def _hold(self, model: PresentModel, place: _Place) -> None:
        fingerprint = model.card.fingerprint
        try:
            async with self._load(model) as served:
                place.served, place.name = served, served.name
                place.settled.set()
                await place.leave.wait()
        except Exception as error:  # noqa: BLE001 - told to who asked: a stranger has named what was opened
            place.failure = error
            self._refused[fingerprint] = trio.current_time() + REFUSAL_SECONDS
            log.warning("%s cannot be served: %s", model.card.name, error)
        finally:
            place.served = None
            del self._places[fingerprint]
            place.settled.set()
            place.gone.set()


@asynccontextmanager
async def open_discovered(
    initial_peers: Sequence[str], opened: Callable[[ModelSource], AbstractAsyncContextManager[Batch]]
) -> AsyncIterator[DiscoveredModels]:
    """The models of a swarm, for as long as the body runs; ``opened`` makes a batch of one.

    Raises what open_guest() and read_models() do.
    """

    @asynccontextmanager
    async def load(model: PresentModel) -> AsyncIterator[Served]:
        source = await in_thread(lambda: open_present(model))
        async with opened(source) as batch:
            yield await Served.of(model.card.name, batch)

    async with open_guest(initial_peers) as guest, open_owner_nursery() as nursery:
        models = DiscoveredModels(lambda: read_models(guest), load, nursery)
        await models.look()
        nursery.start_soon(models.keep_looking)
        yield models
