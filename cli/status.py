"""``swarm status``: which models a swarm has, and which nodes serve which blocks of one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.stderr import reported, tell

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from dht import Peer

WATCH_SECONDS = 2.0
"""Between two looks at a swarm that somebody watches; nodes announce what changes within a second or two."""


def status(
    model: options.ModelOrAll = None,
    initial_peers: options.InitialPeers = None,
    json_output: options.Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    revision: options.Revision = None,
    debug: options.Debug = False,
) -> None:
    """Show which models a swarm serves; with --model its coverage, its nodes, and the room they have."""
    with reported(debug):
        peers = options.required_peers(initial_peers)

        import trio

        trio.run(_status, model, revision, peers, json_output, watch)


async def _status(
    model: str | None, revision: str | None, peers: tuple[str, ...], json_output: bool, watch: bool
) -> None:
    from dht import open_guest

    async with open_guest(peers) as guest:
        look = _look_at_all(guest) if model is None else await _look_at_one(guest, model, revision, peers)
        await _show(look, json_output, watch)


Look = Callable[[], Awaitable[tuple[dict[str, object], "RenderableType"]]]
"""Reads the swarm, and says what it saw to programs and to people."""


def _look_at_all(guest: Peer) -> Look:
    from cli.models_table import models_table
    from cli.status_json import models_json
    from dht import read_models

    async def look() -> tuple[dict[str, object], RenderableType]:
        models = await read_models(guest)
        return models_json(models), models_table(models)

    return look


async def _look_at_one(guest: Peer, model: str, revision: str | None, peers: tuple[str, ...]) -> Look:
    from cli.model_choice import card_of
    from cli.sightings import Sighting, first_look, next_look
    from cli.status_json import model_json
    from cli.swarm_picture import SwarmPicture

    card = await card_of(guest, model, revision)
    directory = guest.directory(card.fingerprint)
    seen: tuple[Sighting, ...] | None = None

    async def look() -> tuple[dict[str, object], RenderableType]:
        nonlocal seen
        snapshot = await directory.snapshot()
        if seen is None and not snapshot.nodes:
            from swarm_node.wire import check_model

            await check_model(guest, card.name, card.fingerprint, peers)
        seen = first_look(snapshot) if seen is None else next_look(seen, snapshot)
        return model_json(card, snapshot), SwarmPicture(card, snapshot, seen)

    return look


async def _show(look: Look, json_output: bool, watch: bool) -> None:
    from rich.console import Console

    console = Console()
    answer, picture = await look()
    if watch and console.is_terminal and not json_output:
        await _watch(look, picture, console)
    while True:
        if json_output:
            print(json.dumps(answer), flush=True)
        else:
            console.print(picture)
        if not watch:
            return
        answer, picture = await _next(look)


async def _watch(look: Look, picture: RenderableType, console: Console) -> None:
    """Keep the picture true until Ctrl-C; what it could not look at stays as it was seen last."""
    import trio
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from routing.errors import NetworkError

    with Live(picture, console=console, auto_refresh=False) as live:
        live.refresh()
        while True:
            await trio.sleep(WATCH_SECONDS)
            try:
                _, picture = await look()
                live.update(picture, refresh=True)
            except NetworkError as error:
                complaint = Text(f"{error}; trying again", style="red", no_wrap=True, overflow="ellipsis")
                live.update(Group(picture, complaint), refresh=True)


async def _next(look: Look) -> tuple[dict[str, object], RenderableType]:
    """The next time that the swarm can be looked at."""
    import trio

    from routing.errors import NetworkError

    while True:
        await trio.sleep(WATCH_SECONDS)
        try:
            return await look()
        except NetworkError as error:
            tell(f"{error}; trying again")
