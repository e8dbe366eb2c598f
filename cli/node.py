"""``swarm node``: serve some of a model's blocks."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.config_file import take_config
from cli.imports import lean_imports
from cli.node_lines import NodeLines, log_line, print_line
from cli.sizes import parse_bytes
from cli.stderr import reported
from routing import NodeState, Span
from routing.errors import UsageError

if TYPE_CHECKING:
    import trio

    from swarm_node.node import Node


def _check_peers(text: str) -> None:
    from dht import PeerAddress  # brings what a file without peers need not wait for

    for address in options.peers_of([text]):
        PeerAddress.parse(address)


CHECKS = {"blocks": Span.parse, "memory": parse_bytes, "initial-peers": _check_peers}
"""What a text in a --config file must be, beside a text."""


def _take_config(context: typer.Context, file: Path | None) -> Path | None:
    return take_config(context, file, node, CHECKS) if file is not None else None


def node(
    model: options.Model,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            is_eager=True,
            callback=_take_config,
            help="TOML file with options of this command, without dashes: port = 31337. The command line goes first.",
        ),
    ] = None,
    blocks: Annotated[
        str | None, typer.Option(metavar="START:END", help="Blocks to serve; default: chosen by memory and need.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Memory to give, for example 6GiB; default: half of what is free."),
    ] = None,
    initial_peers: options.InitialPeers = None,
    new_swarm: Annotated[bool, typer.Option("--new-swarm", help="Start a swarm: be its first node.")] = False,
    new_model: Annotated[
        bool, typer.Option("--new-model", help="Be the first node to serve this model in the swarm of --initial-peers.")
    ] = False,
    host: Annotated[str, typer.Option(help="IPv4 address to listen on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port to listen on; 0 takes a free one.")] = 0,
    identity: Annotated[Path | None, typer.Option(help="Key file of this node; made if it does not exist.")] = None,
    dtype: options.DtypeOption = options.Dtype.auto,
    quant: Annotated[
        options.QuantName,
        typer.Option(
            help="int8 keeps the blocks' weights in half of bfloat16's memory, nf4 in 0.28 of it, less exactly."
        ),
    ] = options.QuantName.none,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …; auto takes a GPU if there is one.")] = "auto",
    threads: options.Threads = None,
    share_prefixes: Annotated[
        bool,
        typer.Option(
            "--share-prefixes",
            help="Let clients reuse what others have computed here; timing then tells who has sent the same before.",
        ),
    ] = False,
    revision: options.Revision = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port at which Prometheus reads /metrics; default: none.")
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(help="Address of that port; 0.0.0.0 lets others read too.")
    ] = "127.0.0.1",
    log_json: options.LogJson = False,
    debug: options.Debug = False,
) -> None:
    """Serve some of a model's blocks until Ctrl-C; a second Ctrl-C does not wait for running sessions."""
    with reported(debug, log_json):
        span = Span.parse(blocks) if blocks else None
        memory_bytes = parse_bytes(memory) if memory else None
        peers = options.peers_of(initial_peers)
        if not peers and not new_swarm:
            raise UsageError("give --initial-peers ADDRESS to join a swarm, or --new-swarm to start one")
        if peers and new_swarm:
            raise UsageError(
                "--new-swarm joins nobody; leave it out, or --initial-peers and SWARM_INITIAL_PEERS; "
                "to bring a further model to a swarm there is --new-model"
            )
        if new_model and not peers:
            raise UsageError("--new-model is for a swarm that there is: give --initial-peers ADDRESS, or --new-swarm")

        with show_node(log_json) as show:  # before what takes seconds, so that something is to be seen
            with lean_imports():
                import torch
                import trio

                from swarm_node.compute import StoredModel
                from swarm_node.model import Quant
                from swarm_node.node import Node, NodeOptions, claimed_identity
                from swarm_node.process import keep_freed_memory

            keep_freed_memory()
            if threads is not None:
                torch.set_num_threads(threads)
            with claimed_identity(identity) as identity_path:
                node = Node(
                    NodeOptions(
                        identity=identity_path,
                        blocks=span,
                        memory_bytes=memory_bytes,
                        initial_peers=peers,
                        new_swarm=new_swarm or new_model,
                        host=host,
                        port=port,
                        dtype=dtype.value,
                        quant=Quant(quant.value),
                        device=device,
                        share_prefixes=share_prefixes,
                        metrics=(metrics_host, metrics_port) if metrics_port is not None else None,
                    ),
                    lambda: StoredModel.open(model, revision),
                    show,
                )
                trio.run(run_node, node)


@contextmanager
def show_node(log_json: bool = False) -> Iterator[Callable[[Node], None]]:
    """A function to call whenever the node changes: it keeps a panel up to date in a terminal, else it prints lines.

    With ``log_json`` the lines go to the log.
    """
    if log_json or not sys.stdout.isatty():
        yield NodeLines(log_line if log_json else print_line)
        return
    from cli.node_panel import live_panel  # rich: 2 MiB of a node that no terminal shows

    with live_panel() as update:
        yield update


async def run_node(node: Node) -> None:
    """Until the node has drained; SIGINT and SIGTERM are for it."""
    import trio

    async with trio.open_nursery() as nursery:
        await nursery.start(_obey_signals, node, nursery.cancel_scope)
        await node.run()
        nursery.cancel_scope.cancel()


async def _obey_signals(node: Node, scope: trio.CancelScope, task_status: trio.TaskStatus[None]) -> None:
    """The first SIGINT or SIGTERM drains a node that serves; any other ends it at once."""
    import trio

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        draining = False
        async for _ in signals:
            if draining or node.state is not NodeState.ONLINE:
                scope.cancel()
            draining = True
            node.drain()
