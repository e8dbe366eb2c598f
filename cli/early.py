"""Joining a swarm while torch and transformers are still being imported: they are what a client waits for longest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cli.stderr import tell
from swarm_node.client import Bridge
from swarm_node.model import read_outline
from swarm_node.wire import wire_named


@contextmanager
def joining_early(model: str | None, peers: Sequence[str], timeout: float, wire_dtype: str) -> Iterator[Bridge | None]:
    """A connection that is being made, if the files tell at once what to look for; closed with the body."""
    card = read_outline(model) if model is not None else None
    if card is None:
        yield None
        return
    bridge = Bridge(card, peers, timeout, tell, wire_named(wire_dtype))
    try:
        yield bridge
    finally:
        bridge.close()
