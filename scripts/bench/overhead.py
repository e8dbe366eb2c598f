"""What this project's own code costs for each step of a session at each node, whatever the model.

    python scripts/bench overhead [--steps 3000] [--out build/bench_overhead]

Real node processes on loopback serve blocks that do nothing, so that their processor time is that of reading a frame,
the engine's turn and sending the frame on; the libp2p daemons are processes of their own and not counted. Steps are of
one token, 16 KiB. Three nodes in a chain serve one session; then one node serves from 1 to 200 sessions at once, and
one of 200 sessions while the others rest. Linux only. Written: results.json and sessions.png.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import torch
import trio
import typer

from bench import program
from bench.shared.harness import Out, Results, console, show
from emulation.model import token_paced
from process_counters import cpu_seconds
from routing import Span
from swarm_node.client import Session, SessionStep, open_client, step_together
from swarm_node.client.client import SwarmClient
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import FreshProgram

SESSIONS = (1, 10, 50, 100, 200)
WARM_STEPS = 100
"""Steps of all sessions together before anything is counted."""
MODEL = token_paced(0.0)
PROGRAM = FreshProgram(program("emulated_node", "--token-seconds", 0.0))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one case; times per step of one session at one node, in milliseconds."""

    case: str
    nodes: int
    open_sessions: int
    stepping: int
    node_cpu: float
    """Of the node's own process."""
    client_cpu: float
    """Of this process, per step of one session."""
    step: float
    """From sending a step to its result."""


async def run_steps(sessions: Sequence[Session], steps: int, position: int) -> None:
    """``steps`` steps of each session, all sessions at once."""

    async def run(session: Session) -> None:
        hidden = torch.zeros(1, MODEL.hidden_size)
        for number in range(steps):
            await step_together({session: SessionStep(hidden, position + number, 1)})

    async with trio.open_nursery() as nursery:
        for session in sessions:
            nursery.start_soon(run, session)


async def measure(
    case: str, client: SwarmClient, process_ids: Sequence[int], open_sessions: int, stepping: int, steps: int
) -> Cost:
    """Open that many sessions and run ``steps`` steps in all in some of them."""
    each = max(10, steps // stepping)
    warm = max(1, WARM_STEPS // stepping)
    sessions = [client.open_session(each + warm) for _ in range(open_sessions)]
    await run_steps(sessions, 1, 0)
    active = sessions[:stepping]
    await run_steps(active, warm, 0)
    before, own = cpu_seconds(process_ids), process_time()
    started = perf_counter()
    await run_steps(active, each, warm)
    seconds = perf_counter() - started
    spent, own = cpu_seconds(process_ids) - before, process_time() - own
    for session in sessions:
        await session.close()
    total = each * stepping
    nodes = len(process_ids)
    return Cost(
        case, nodes, open_sessions, stepping, spent / total / nodes * 1e3, own / total * 1e3, seconds / each * 1e3
    )


async def measure_chain(addresses: Sequence[str], process_ids: Sequence[int], steps: int) -> list[Cost]:
    async with open_client(MODEL, addresses, timeout=30, notice=console.print) as client:
        return [await measure("chain of three", client, process_ids, 1, 1, steps)]


async def measure_sessions(addresses: Sequence[str], process_ids: Sequence[int], steps: int) -> list[Cost]:
    async with open_client(MODEL, addresses, timeout=30, notice=console.print) as client:
        costs = [await measure("all step", client, process_ids, count, count, steps) for count in SESSIONS]
        costs.append(await measure("one steps", client, process_ids, SESSIONS[-1], 1, steps))
        return costs


def main(
    steps: Annotated[int, typer.Option(min=200, help="Of all sessions of a case together.")] = 3000,
    out: Out = Path("build/bench_overhead"),
) -> None:
    """Measure what a step costs beside its computation."""
    results = Results(out)
    costs: list[Cost] = []
    for spans, measured in (([Span(0, 1), Span(1, 2), Span(2, 3)], measure_chain), ([Span(0, 3)], measure_sessions)):
        with LocalSwarm(MODEL.name, program=PROGRAM) as swarm:
            nodes = swarm.start(spans)
            process_ids = [node.process.pid for node in nodes]
            costs += trio.run(partial(measured, [swarm.address], process_ids, steps))
    results.write(costs=costs)
    show(
        costs,
        ("case", lambda cost: cost.case),
        ("nodes", lambda cost: f"{cost.nodes}"),
        ("open", lambda cost: f"{cost.open_sessions}"),
        ("stepping", lambda cost: f"{cost.stepping}"),
        ("CPU ms per step and node", lambda cost: f"{cost.node_cpu:.3f}"),
        ("CPU ms of the client", lambda cost: f"{cost.client_cpu:.3f}"),
        ("ms a step", lambda cost: f"{cost.step:.2f}"),
    )
    with results.plot("sessions") as axes:
        shown = [cost for cost in costs if cost.case == "all step"]
        axes.plot([cost.stepping for cost in shown], [cost.node_cpu for cost in shown], "o-")
        axes.set(xlabel="sessions", ylabel="node's CPU per step, ms", ylim=(0, None))
