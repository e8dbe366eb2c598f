"""``swarm status``: which nodes serve which blocks."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.stderr import reported, tell
from swarm_node.settings import session_tokens

if TYPE_CHECKING:
    from rich.console import RenderableType

    from routing import NodeView, Snapshot
    from swarm_node.wire import ModelCard


def status(
    model: options.Model,
    initial_peers: options.InitialPeers = None,
    json_output: options.Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    revision: options.Revision = None,
    debug: options.Debug = False,
) -> None:
    """Show the coverage of every block, the nodes, and the room they have."""
    with reported(debug):
        peers = options.required_peers(initial_peers)

        import trio

        from swarm_node.model import read_outline

        source: ModelCard | None = read_outline(model)
        if source is None:
            from swarm_node.model import ModelSource  # brings transformers, which takes seconds

            source = ModelSource.open(model, revision)
        trio.run(_show, source, peers, json_output, watch)


async def _show(source: ModelCard, peers: tuple[str, ...], json_output: bool, watch: bool) -> None:
    import trio
    from rich.console import Console
    from rich.live import Live

    from swarm_node.client import open_client
    from swarm_node.settings import ANNOUNCE_SECONDS

    async with open_client(source, peers, timeout=0.0, notice=tell) as client:
        snapshot = await client.current_swarm()
        if watch and not json_output:
            with Live(swarm_view(snapshot, source)) as live:
                while True:
                    await trio.sleep(ANNOUNCE_SECONDS)
                    live.update(swarm_view(await client.current_swarm(), source))
        while True:
            if json_output:
                print(json.dumps(as_json(snapshot, source)), flush=True)
            else:
                Console().print(swarm_view(snapshot, source))
            if not watch:
                return
            await trio.sleep(ANNOUNCE_SECONDS)
            snapshot = await client.current_swarm()


def as_json(snapshot: Snapshot, source: ModelCard) -> dict[str, object]:
    """What --json prints, one object for each look."""
    return {
        "model": source.name,
        "fingerprint": snapshot.model,
        "blocks": source.blocks,
        "coverage": snapshot.replicas(source.blocks),
        "missing": [str(span) for span in snapshot.missing(source.blocks)],
        "age_seconds": round(snapshot.age(time.time()), 3),
        "nodes": [
            {
                "peer": node.peer_id,
                "addresses": list(node.addresses),
                "state": node.state.value,
                "start": node.span.start,
                "end": node.span.end,
                "dtype": node.dtype,
                "memory_bytes": node.memory_bytes,
                "cache_tokens": node.cache_tokens,
                "free_tokens": node.free_tokens,
                "free_slots": free_slots(node, source.context_length),
                "running": node.running,
                "waiting": node.waiting,
                "target": str(node.target) if node.target else None,
                "job_rate": node.job_rate,
                "prefill_seconds": node.prefill_seconds,
                "decode_seconds": node.decode_seconds,
                "version": node.version,
            }
            for node in snapshot.nodes
        ],
    }


def free_slots(node: NodeView, context_length: int | None) -> int:
    """Sessions of the length that memory is planned for that would fit on all of the node's blocks now."""
    return node.free_tokens // (session_tokens(context_length) * len(node.span))


def swarm_view(snapshot: Snapshot, source: ModelCard) -> RenderableType:
    """Coverage and nodes for people."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from dht import short_name
    from routing import describe_blocks

    replicas = snapshot.replicas(source.blocks)
    missing = snapshot.missing(source.blocks)
    coverage = Text("replicas per block: ")
    for count in replicas:
        coverage.append("·" if count == 0 else str(min(count, 9)), style="red" if count == 0 else "green")
    verdict = Text(
        f"blocks {describe_blocks(missing)} are served by nobody" if missing else "every block is served",
        style="red" if missing else "green",
    )
    table = Table("node", "state", "blocks", "dtype", "sessions", "waiting", "free slots", "ms per block", box=None)
    for node in sorted(snapshot.nodes, key=lambda node: (node.span, node.peer_id)):
        table.add_row(
            short_name(node.peer_id),
            node.state.value,
            f"{node.span} → {node.target}" if node.target else str(node.span),
            node.dtype,
            str(node.running),
            str(node.waiting),
            str(free_slots(node, source.context_length)),
            f"{node.decode_seconds * 1e3:.2f}",
        )
    return Group(Text(f"{source.name}: {source.blocks} blocks, {len(snapshot.nodes)} nodes"), coverage, verdict, table)
