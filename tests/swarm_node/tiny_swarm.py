"""A swarm of the tiny model in this process, and what tests of sessions say to its nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import torch
import trio

from routing import SessionShape, Span
from swarm_node import testing
from swarm_node.client.chain import Chain
from swarm_node.client.client import SwarmClient
from swarm_node.client.opening import open_chain as find_chain
from swarm_node.testing import LocalNetwork
from swarm_node.wire.messages import Open, Wait
from tests.swarm_node.watched import WIDTH

MODEL = "tiny"
BLOCKS = 4
TOKENS = 16
"""Length of the sessions in these tests."""


@dataclass
class Card:
    """The model, as a client knows it."""

    name: str = "tiny"
    fingerprint: str = MODEL
    blocks: int = BLOCKS
    hidden_size: int = WIDTH
    context_length: int | None = None


def in_swarm(main: Callable[[LocalNetwork], Awaitable[None]], seconds: float = 10.0) -> None:
    """Run ``main`` in a new swarm of that model; its nodes count room in sessions of TOKENS tokens."""
    testing.in_swarm(main, Card(), seconds, TOKENS)


def waiting_since(since: float, tokens: int = TOKENS, span: Span | None = None) -> Wait:
    span = span or Span(0, BLOCKS)
    return Wait(model=MODEL, start=span.start, end=span.end, max_tokens=tokens, since=since)


def opening(number: int, tokens: int = TOKENS, span: Span | None = None) -> Open:
    """The only hop of session ``number``."""
    span = span or Span(0, BLOCKS)
    return Open(
        session=number.to_bytes(16, "big"), model=MODEL, start=span.start, end=span.end, max_tokens=tokens,
        previous=None, next=None,
    )  # fmt: skip


def shape(tokens: int = TOKENS) -> SessionShape:
    return SessionShape(4, tokens)


async def open_chain(client: SwarmClient, seconds: float = 10.0) -> Chain:
    return await find_chain(client.chains, shape(), trio.current_time() + seconds)


async def close(chain: Chain) -> None:
    chain.abandon()
    await chain.ended()


def hidden_states(seed: int) -> torch.Tensor:
    """[4, width], different for each seed."""
    return torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(seed))
