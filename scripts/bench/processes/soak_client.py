"""A client of the soak: sessions without end, some given up in the middle. A process of its own, so that it can die.

    python scripts/bench soak_client MODEL ADDRESS WORKERS SEED STEPS

The file STEPS grows by a line for each session: whether it was given up, its tokens, and the seconds of each decode.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import torch
import trio
import typer

from swarm_node.client import SessionStep, open_client, step_together
from swarm_node.client.client import SwarmClient
from swarm_node.model import ModelSource

PROMPT_TOKENS = (16, 512)
NEW_TOKENS = (8, 64)
GIVEN_UP = 0.2
"""Share of sessions that end without a word after some of their tokens."""
PATIENCE_SECONDS = 600.0


async def work(client: SwarmClient, chance: random.Random, steps: Path) -> None:
    """One session after the other, its hidden states drawn at random."""
    width = client.chains.card.hidden_size
    while True:
        prompt, new = chance.randint(*PROMPT_TOKENS), chance.randint(*NEW_TOKENS)
        until = chance.randrange(new) if chance.random() < GIVEN_UP else new
        session = client.open_session(prompt + new)
        seconds: list[float] = []
        try:
            await step_together({session: SessionStep(torch.randn(prompt, width), 0, 1)})
            for number in range(until):
                began = trio.current_time()
                await step_together({session: SessionStep(torch.randn(1, width), prompt + number, 1)})
                seconds.append(trio.current_time() - began)
        finally:
            if until == new:
                with trio.CancelScope(shield=True):
                    await session.close()
            else:
                session.abandon()
        line = [str(int(until < new)), str(prompt + until), *(f"{each:.4f}" for each in seconds)]
        with steps.open("a") as file:
            file.write(" ".join(line) + "\n")


async def serve(model: str, address: str, workers: int, seed: int, steps: Path) -> None:
    source = ModelSource.open(model)
    async with (
        open_client(source, [address], timeout=PATIENCE_SECONDS, notice=lambda line: None) as client,
        trio.open_nursery() as nursery,
    ):
        for worker in range(workers):
            nursery.start_soon(work, client, random.Random(f"{seed} {worker}"), steps)


def main(
    model: str, address: str, workers: int, seed: int, steps: Annotated[Path, typer.Argument(dir_okay=False)]
) -> None:
    torch.set_num_threads(1)
    trio.run(serve, model, address, workers, seed, steps)
