"""Time to the first token of a long prompt through three nodes: in frames that follow one another, or all at once.

    python scripts/bench_prefill.py [--tokens 1024] [--runs 5] [--out build/bench_prefill]

Real node processes on loopback, whose blocks sleep for each token instead of computing, so that the nodes work at the
same time as they would on machines of their own. A prompt in frames lets the second node work on the first frame while
the first works on the second. Written: results.json and first_token.png.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated
from unittest.mock import patch

import matplotlib
import torch
import trio
import typer
from rich.console import Console

from bench_model import environment
from hollow_model import PROGRAM, HollowModel
from routing import Span
from swarm_node.client import chain as awaited
from swarm_node.client import open_client
from swarm_node.client.client import SwarmClient
from swarm_node.client.settings import PREFILL_STEP_TOKENS
from swarm_node.local_swarm import LocalSwarm

NODES = 3
GOAL = 2.2

console = Console()


async def first_token(client: SwarmClient, tokens: int, frame_tokens: int) -> float:
    """Seconds from sending a prompt of ``tokens`` tokens, in frames of so many, to what follows its last token."""
    session = client.open_session(tokens)
    await session.step(torch.zeros(1, client.source.hidden_size), 0, 1)  # so that the chain is open
    with patch.object(awaited, "PREFILL_STEP_TOKENS", frame_tokens):
        started = perf_counter()
        await session.step(torch.zeros(tokens, client.source.hidden_size), 0, 1)
        seconds = perf_counter() - started
    await session.close()
    return seconds


async def measure(model: HollowModel, addresses: Sequence[str], tokens: int, runs: int) -> dict[str, list[float]]:
    """Seconds of each run, in frames and whole, by turns."""
    found: dict[str, list[float]] = {"in frames": [], "whole": []}
    async with open_client(model, addresses, timeout=30, notice=console.print) as client:
        for turn in range(runs + 1):
            for name, size in (("in frames", PREFILL_STEP_TOKENS), ("whole", tokens)):
                seconds = await first_token(client, tokens, size)
                if turn:
                    found[name].append(seconds)
    return found


def plot(seconds: dict[str, list[float]], path: Path) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(layout="constrained")
    axes.bar(list(seconds), [statistics.median(each) for each in seconds.values()])
    axes.set(ylabel="seconds to the first token")
    figure.savefig(path, dpi=150)


def main(
    tokens: Annotated[int, typer.Option(min=2, help="Of the prompt.")] = 1024,
    token_seconds: Annotated[float, typer.Option(help="What a node takes for each.")] = 1e-3,
    runs: Annotated[int, typer.Option(min=1, help="Turns that count.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("build/bench_prefill"),
) -> None:
    """Measure what frames that follow one another save."""
    setting = {**environment(), "tokens": tokens, "token_seconds": token_seconds, "runs": runs}
    console.print_json(data=setting)
    out.mkdir(parents=True, exist_ok=True)
    model = HollowModel(token_seconds)
    with LocalSwarm(model.name, program=PROGRAM) as swarm:
        swarm.start([Span(block, block + 1) for block in range(NODES)])
        seconds = trio.run(partial(measure, model, [swarm.address], tokens, runs))
    ratios = [whole / framed for whole, framed in zip(seconds["whole"], seconds["in frames"], strict=True)]
    results = {"environment": setting, "seconds": seconds, "ratio": statistics.median(ratios), "goal": GOAL}
    (out / "results.json").write_text(json.dumps(results, indent=2))
    plot(seconds, out / "first_token.png")
    medians = ", ".join(f"{name} {statistics.median(each):.2f} s" for name, each in seconds.items())
    console.print(f"first token: {medians}; {results['ratio']:.2f} times as fast in frames (goal {GOAL:g})")


if __name__ == "__main__":
    typer.run(main)
