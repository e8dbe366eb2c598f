"""Parts of several sessions' steps, run together on blocks in one go."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from routing.errors import SwarmError
from swarm_node.compute import HostedBlocks, Row
from swarm_node.engine.step import HostedStep, Outcome

log = logging.getLogger(__name__)


def run_batch(blocks: HostedBlocks, batch: Sequence[HostedStep]) -> list[Outcome]:
    """What came of each step's ``part``. If a batch fails, its steps run alone, so that only the guilty one fails."""
    for step in batch:
        step.reservation.cache.roll_back(step.position + step.done)
    rows = [Row(step.reservation.cache, step.taken, step.end) for step in batch]
    try:
        parts = [step.part() for step in batch]
        output = blocks.step(rows, torch.cat(parts) if len(parts) > 1 else parts[0], batch[0].span).cpu()
    except Exception as error:
        if len(batch) > 1:
            log.warning("a batch of %d steps failed; running them one by one", len(batch), exc_info=True)
            return [outcome for step in batch for outcome in run_batch(blocks, [step])]
        log.exception("a step of %d tokens failed", batch[0].taken)
        return [SwarmError(f"the node failed on this step ({type(error).__name__})")]
    return list(output.split([step.taken for step in batch])) if len(batch) > 1 else [output]
