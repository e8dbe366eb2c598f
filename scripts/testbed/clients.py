"""The clients of the test bed: one process that replays a trace, each request at its time, token by token.

    python -m testbed.clients [--namespace NAME] SPEC.json OUTCOMES.csv

The file holds a ReplaySpec; the name is that of a network namespace to run in.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
import trio
import typer
from pydantic import TypeAdapter

from cli.stderr import reported
from emulation.gpu import BLOCKS, SECONDS, generated_row, prompt_rows
from emulation.model import EmulatedCard
from routing.errors import SwarmError
from routing.simulation import Job
from routing.simulation.paged import PAGE_TOKENS
from swarm_node.client import SessionStep, open_client, step_together
from swarm_node.client.chains import Chains
from swarm_node.settings import SESSION_TOKENS
from testbed import wan_namespaces
from testbed.outcomes import Outcome, write_outcomes
from testbed.petals_client import Delay, PetalsSession
from testbed.watched_client import Asked, WatchedSession

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 3600.0
"""Longest wait for a chain: the simulator knows no limit."""
LOOK_SECONDS = 0.5
TELL_SECONDS = 15.0


class Routing(StrEnum):
    """Who chooses chains."""

    SWARM = "swarm"
    """This project's client."""
    PETALS = "petals"


class Reservation(StrEnum):
    """How much cache a session asks for."""

    SLOT = "slot"
    """SESSION_TOKENS, whatever its length: the static slots of arXiv 2604.14993."""
    LENGTH = "length"
    """Its own tokens in whole pages, but at most a slot."""


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """What is replayed, against whom, and how."""

    card: EmulatedCard
    initial_peers: tuple[str, ...]
    hosts: Mapping[str, int]
    """The host of each node, by its peer id."""
    delays: tuple[tuple[float, ...], ...]
    """Seconds one way between hosts; the last one is the clients'."""
    jobs: tuple[Job, ...]
    routing: Routing
    reservation: Reservation
    clients: int
    """Independent clients among which the requests take turns: each with a view of its own."""
    settle_seconds: float
    """Longest wait for all nodes to be seen and to have found their places in the network, before the first request."""


REPLAY_SPEC = TypeAdapter(ReplaySpec)


async def replay(spec: ReplaySpec) -> list[Outcome]:
    """What became of all jobs, once all have ended. A job's own failure is in its outcome.

    Raises UsageError, PeerUnreachable or ClockSkew if the swarm cannot be joined.
    """
    torch.set_num_threads(1)
    outcomes = [
        Outcome(number, job.arrival, job.input_tokens, job.output_tokens) for number, job in enumerate(spec.jobs)
    ]
    async with AsyncExitStack() as stack:
        clients = await _open_clients(spec, stack)
        with trio.move_on_after(spec.settle_seconds):
            await _settled(clients[0], len(spec.hosts))
        for client in clients:
            await client.snapshot()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_tell, outcomes)
            for outcome, job in zip(outcomes, spec.jobs, strict=True):
                await trio.sleep_until(began + job.arrival)
                nursery.start_soon(_serve, spec, clients[outcome.number % len(clients)], outcome, began)
    return outcomes


async def _open_clients(spec: ReplaySpec, stack: AsyncExitStack) -> Sequence[Chains]:
    """They share a daemon and a place in the hash table; all that they know they know by themselves."""
    joined = await stack.enter_async_context(
        open_client(spec.card, spec.initial_peers, timeout=PATIENCE_SECONDS, notice=log.info)
    )
    nursery = await stack.enter_async_context(trio.open_nursery())
    stack.callback(nursery.cancel_scope.cancel)
    return [Chains(joined.chains.peer, spec.card, nursery, spec.initial_peers, log.info) for _ in range(spec.clients)]


def _session(spec: ReplaySpec, client: Chains, request: Asked, max_tokens: int) -> WatchedSession:
    if spec.routing is Routing.PETALS:
        return PetalsSession(client, max_tokens, PATIENCE_SECONDS, request, _delay(spec))
    return WatchedSession(client, max_tokens, PATIENCE_SECONDS, request)


def _delay(spec: ReplaySpec) -> Delay:
    def delay(source: str | None, destination: str | None) -> float:
        places = [len(spec.delays) - 1 if peer_id is None else spec.hosts[peer_id] for peer_id in (source, destination)]
        return spec.delays[places[0]][places[1]]

    return delay


async def _settled(client: Chains, nodes: int) -> None:
    while True:
        online = (await client.snapshot(max_age=0.0)).online()
        if len(online) == nodes and (nodes == 1 or all(node.coordinate.placed for node in online)):
            return
        await trio.sleep(LOOK_SECONDS)


async def _serve(spec: ReplaySpec, client: Chains, outcome: Outcome, began: float) -> None:
    """One request from its arrival to its last token."""
    request = Asked(outcome.new_tokens)
    try:
        session = _session(spec, client, request, _reserved(spec.reservation, outcome))
        try:
            await _generate(session, outcome, began, spec.card.blocks)
        finally:
            outcome.started = request.started - began if request.started is not None else float("nan")
            await session.close()
    except SwarmError as error:
        outcome.failure = f"{type(error).__name__}: {error}"
    outcome.chains, outcome.refusals = request.chains, request.refusals
    outcome.hops = " ".join(f"{spec.hosts[hop.node.peer_id]}:{hop.span}" for hop in request.hops)


async def _generate(session: WatchedSession, outcome: Outcome, began: float, blocks: int) -> None:
    hidden, position = prompt_rows(outcome.prompt_tokens), 0
    chain, paid = session.chain, 0.0
    for number in range(max(outcome.new_tokens, 1)):
        (output,) = await step_together({session: SessionStep(hidden, position, keep=1)})
        outcome.wrong += output[0, BLOCKS].item() != blocks
        if session.chain is not chain:  # one that replaces another begins to count anew
            chain, paid = session.chain, 0.0
        owed = output[0, SECONDS].item() - paid
        await trio.sleep(max(0.0, owed))
        paid += owed
        outcome.computing += owed
        if number == 0:
            outcome.first_token = trio.current_time() - began
        position += len(hidden)
        hidden = generated_row()
    outcome.ended = trio.current_time() - began


def _reserved(reservation: Reservation, outcome: Outcome) -> int:
    tokens = outcome.prompt_tokens + outcome.new_tokens
    paged = -(-tokens // PAGE_TOKENS) * PAGE_TOKENS
    return SESSION_TOKENS if reservation is Reservation.SLOT else min(paged, SESSION_TOKENS)


async def _tell(outcomes: Sequence[Outcome]) -> None:
    """Say from time to time how far it is; ends with the last request."""
    told = trio.current_time()
    while (missing := sum(not outcome.over for outcome in outcomes)) > 0:
        if trio.current_time() > told + TELL_SECONDS:
            told = trio.current_time()
            print(f"{len(outcomes) - missing} of {len(outcomes)} requests have ended", flush=True)
        await trio.sleep(LOOK_SECONDS)


def serve(spec: Path, outcomes: Path, namespace: str | None = None) -> None:
    with reported(debug=False):
        if namespace is not None:
            wan_namespaces.enter(namespace)
        write_outcomes(outcomes, trio.run(replay, REPLAY_SPEC.validate_json(spec.read_bytes())))


def main() -> None:
    typer.run(serve)


if __name__ == "__main__":
    main()
