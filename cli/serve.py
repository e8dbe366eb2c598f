"""``swarm serve``: models of a swarm behind a URL."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.imports import lean_imports
from cli.json_log import log_notice
from cli.stderr import reported, tell
from routing.errors import UsageError

if TYPE_CHECKING:
    import socket

    from swarm_node.gateway import Keys, Models, OpenModels
    from swarm_node.generate import Batch
    from swarm_node.model import ModelSource

KEYS_VARIABLE = "SWARM_API_KEYS"


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Directory of a model, or its Hub id. Several: repeat. Default: all that the swarm serves as a whole "
            "and the Hub has, each loaded when it is first asked for.",
            envvar="SWARM_MODEL",
        ),
    ] = None,
    initial_peers: options.InitialPeers = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    keys_file: Annotated[
        Path | None,
        typer.Option(
            help=f"API keys: one a line, or TOML with [[keys]] tables (key, name, concurrent_requests, "
            f"tokens_per_minute). Or give keys in {KEYS_VARIABLE}, separated by commas."
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Web pages that may ask, for example https://example.org. Repeatable."),
    ] = None,
    dtype: options.DtypeOption = options.Dtype.auto,
    wire_dtype: options.WireDtypeOption = options.WireDtype.auto,
    draft_model: options.DraftModel = None,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    timeout: options.Timeout = 60.0,
    log_json: options.LogJson = False,
    debug: options.Debug = False,
) -> None:
    """Serve models of a swarm at a URL: OpenAI's API, for programs, editors and browsers. Ctrl-C ends it."""
    with reported(debug, log_json):
        peers = options.required_peers(initial_peers)

        with lean_imports():
            import torch

            from swarm_node.gateway import is_loopback

        if draft_model is not None and not model:
            raise UsageError("--draft-model is for one model: give that with --model")
        if threads is not None:
            torch.set_num_threads(threads)
        keys = _keys(keys_file)
        if not keys and not is_loopback(host):
            raise UsageError(
                f"--host {host} lets others ask: give API keys, in --keys-file or {KEYS_VARIABLE}, or use 127.0.0.1"
            )
        opening = {
            "dtype": dtype.value,
            "wire_dtype": wire_dtype.value,
            "draft_model": draft_model,
            "device": device,
            "timeout": timeout,
            "notice": log_notice if log_json else tell,
        }
        run_gateway((host, port), model or [], peers, keys, allow_origin or [], opening)


def run_gateway(
    at: tuple[str, int],
    names: Sequence[str],
    peers: Sequence[str],
    keys: Keys,
    origins: Sequence[str],
    opening: dict[str, Any],
    ready: Callable[[str, Models], None] | None = None,
) -> None:
    """Serve ``names``, or all that the swarm has, until SIGINT or SIGTERM; ``opening`` is for open_batch().

    ``ready`` is called with the URL and the models once it answers; None: print them.
    """
    import trio

    from swarm_node.gateway import listen

    with listen(*at) as listener:
        trio.run(partial(_serve, listener, names, peers, keys, origins, opening, ready or _announce))


def _announce(url: str, models: Models) -> None:
    print(f"ready at {url}/v1", flush=True)
    absent = models.absent()
    print(absent or f"a page at {url}; models: {', '.join(models.names())}", flush=True)


def _keys(file: Path | None) -> Keys:
    from swarm_node.gateway import Keys, plain_keys, read_keys

    records = read_keys(file) if file is not None else []
    return Keys([*records, *plain_keys(os.environ.get(KEYS_VARIABLE, "").split(","), KEYS_VARIABLE)])


async def _serve(
    listener: socket.socket,
    names: Sequence[str],
    peers: Sequence[str],
    keys: Keys,
    origins: Sequence[str],
    opening: dict[str, Any],
    ready: Callable[[str, Models], None],
) -> None:
    import trio

    from swarm_node.gateway import LOOPBACK_HOSTS, Gateway, application, open_discovered, serve, url_of
    from swarm_node.generate import open_batch

    url = url_of(listener)
    opened = partial(open_batch, initial_peers=peers, **opening)
    async with AsyncExitStack() as stack:
        opening_all: AbstractAsyncContextManager[Models] = (
            _named(names, opened) if names else open_discovered(peers, opened)
        )
        models = await stack.enter_async_context(opening_all)
        app = application(
            Gateway(models, keys),
            allowed_origins=origins,
            allowed_hosts=None if keys else LOOPBACK_HOSTS,
        )
        nursery = await stack.enter_async_context(trio.open_nursery())
        await nursery.start(serve, app, listener)
        ready(url, models)


@asynccontextmanager
async def _named(
    names: Sequence[str], opened: Callable[[ModelSource], AbstractAsyncContextManager[Batch]]
) -> AsyncIterator[OpenModels]:
    import trio

    from swarm_node.gateway import OpenModels, Served
    from swarm_node.model import ModelSource

    async with AsyncExitStack() as stack:
        served: list[Served] = []
        for name in names:
            source = await trio.to_thread.run_sync(ModelSource.open, name)
            batch = await stack.enter_async_context(opened(source))
            served.append(await Served.of(_served_name(name), batch))
        called = [one.name for one in served]
        if doubled := {name for name in called if called.count(name) > 1}:
            raise UsageError(f"two models are called {doubled.pop()}; serve each from a gateway of its own")
        yield OpenModels(served)


def _served_name(model: str) -> str:
    """How requests call it: a Hub id as it is, a directory by its last part."""
    path = Path(model)
    return path.resolve().name if path.is_dir() else model
