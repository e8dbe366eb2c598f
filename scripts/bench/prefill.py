"""Time to the first token of a long prompt through three nodes: in frames that follow one another, or all at once.

    python scripts/bench prefill [--tokens 1024] [--runs 5] [--out build/bench_prefill]

Real node processes on loopback, whose blocks sleep for each token instead of computing, so that the nodes work at the
same time as they would on machines of their own. A prompt in frames lets the second node work on the first frame while
the first works on the second. Written: results.json and first_token.png.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated
from unittest.mock import patch

import torch
import trio
import typer

from bench import program
from bench.shared.harness import Out, Results, Runs, Spread, console, in_turns
from emulation.model import EmulatedModel, token_paced
from routing import Span
from swarm_node.client import SessionStep, open_client, step_together
from swarm_node.client import step as step_module
from swarm_node.client.client import SwarmClient
from swarm_node.client.settings import PREFILL_STEP_TOKENS
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import FreshProgram

NODES = 3
GOAL = 2.2


async def first_token(client: SwarmClient, tokens: int, frame_tokens: int) -> float:
    """Seconds from sending a prompt of ``tokens`` tokens, in frames of so many, to what follows its last token."""
    session, hidden = client.open_session(tokens), torch.zeros(tokens, client.chains.card.hidden_size)
    await step_together({session: SessionStep(hidden[:1], 0, 1)})  # so that the chain is open
    with patch.object(step_module, "PREFILL_STEP_TOKENS", frame_tokens):
        started = perf_counter()
        await step_together({session: SessionStep(hidden, 0, 1)})
        seconds = perf_counter() - started
    await session.close()
    return seconds


async def measure(model: EmulatedModel, addresses: Sequence[str], tokens: int, runs: int) -> dict[str, list[float]]:
    """Seconds of each run, in frames and whole, by turns."""
    frame_tokens = {"in frames": PREFILL_STEP_TOKENS, "whole": tokens}
    found: dict[str, list[float]] = {name: [] for name in frame_tokens}
    async with open_client(model, addresses, timeout=30, notice=console.print) as client:
        for turn, name in in_turns(frame_tokens, runs):
            seconds = await first_token(client, tokens, frame_tokens[name])
            if turn:
                found[name].append(seconds)
    return found


def main(
    tokens: Annotated[int, typer.Option(min=2, help="Of the prompt.")] = 1024,
    token_seconds: Annotated[float, typer.Option(help="What a node takes for each.")] = 1e-3,
    runs: Runs = 5,
    out: Out = Path("build/bench_prefill"),
) -> None:
    """Measure what frames that follow one another save."""
    results = Results(out, tokens=tokens, token_seconds=token_seconds, runs=runs)
    model = token_paced(token_seconds)
    node = FreshProgram(program("emulated_node", "--token-seconds", token_seconds))
    with LocalSwarm(model.name, program=node) as swarm:
        swarm.start([Span(block, block + 1) for block in range(NODES)])
        seconds = trio.run(partial(measure, model, [swarm.address], tokens, runs))
    ratio = Spread.of_ratios(seconds["whole"], seconds["in frames"]).median
    results.write(seconds=seconds, ratio=ratio, goal=GOAL)
    medians = {name: Spread.of(each).median for name, each in seconds.items()}
    with results.plot("first_token") as axes:
        axes.bar(list(medians), list(medians.values()))
        axes.set(ylabel="seconds to the first token")
    told = ", ".join(f"{name} {median:.2f} s" for name, median in medians.items())
    console.print(f"first token: {told}; {ratio:.2f} times as fast in frames (goal {GOAL:g})")
