"""Shares of several sessions' steps, run together on blocks in one go."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from routing.errors import SwarmError
from swarm_node.compute import HostedBlocks, Row
from swarm_node.engine.reservation import Outcome, PendingStep

logger = logging.getLogger(__name__)

Share = tuple[PendingStep, int]
"""A step and how many of its tokens run in a batch."""


def run_batch(blocks: HostedBlocks, batch: Sequence[Share]) -> list[Outcome]:
    """The output of each step's share. If a batch fails, its steps run alone, so that only the guilty one fails."""
    for step, _taken in batch:
        step.reservation.cache.roll_back(step.position + step.done)
    rows = [Row(step.reservation.cache, taken, step.position + step.tokens) for step, taken in batch]
    try:
        parts = [step.part(taken) for step, taken in batch]
        output = blocks.step(rows, torch.cat(parts) if len(parts) > 1 else parts[0], batch[0][0].span).cpu()
    except Exception as error:
        if len(batch) > 1:
            logger.warning("a batch of %d steps failed; running them one by one", len(batch), exc_info=True)
            return [result for share in batch for result in run_batch(blocks, [share])]
        logger.exception("a step of %d tokens failed", batch[0][1])
        return [SwarmError(f"the node failed on this step ({type(error).__name__})")]
    return list(output.split([taken for _step, taken in batch])) if len(batch) > 1 else [output]
