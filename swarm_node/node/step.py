"""A step as a frame brought it to this node, and what goes on of all that came in one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from swarm_node.engine import HostedStep
from swarm_node.wire import Result, ResultBeside, Step, StepBeside

if TYPE_CHECKING:
    from swarm_node.node.session import HostedSession


@dataclass(eq=False, slots=True, kw_only=True)
class FramedStep(HostedStep):
    """The engine's step, with the session that it belongs to and what the frame says of it."""

    session: HostedSession
    message: Step | StepBeside
    """The frame's own step, or one beside it."""


def onward(frame: Step, done: Sequence[FramedStep]) -> tuple[Step, torch.Tensor]:
    """What the next hop is sent for ``frame``, of whose steps those in ``done`` came out, its own among them."""
    if len(done) <= len(frame.beside):
        beside = [step.message for step in done if isinstance(step.message, StepBeside)]
        frame = frame.model_copy(update={"beside": beside})
    return frame, _together([step.output for step in done])


def result(frame: Step, done: Sequence[FramedStep]) -> tuple[Result, torch.Tensor]:
    """What the client is sent for ``frame`` after the last block; at least one of ``done`` keeps something."""
    kept = [step for step in done if step.message.keep]
    beside = [
        ResultBeside(session=step.message.session, number=step.message.number, tokens=step.message.keep)
        for step in kept
        if isinstance(step.message, StepBeside)
    ]
    message = Result(number=frame.number, tokens=frame.keep, dtype=frame.dtype, beside=beside)
    return message, _together([step.output[step.tokens - step.message.keep :] for step in kept])


def _together(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]
