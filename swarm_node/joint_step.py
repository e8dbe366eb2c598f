"""A step of several sessions at once: decodes on chains that go the same way share frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from swarm_node.chain import Decode
from swarm_node.joint_opening import open_together
from swarm_node.session import Session
from swarm_node.settings import COMPANIONS_MAX
from swarm_node.tasks import gather


@dataclass(frozen=True, slots=True)
class Turn:
    """What Session.step is told: [tokens, hidden] at ``position``, of which the last ``keep`` are wanted."""

    session: Session
    hidden: torch.Tensor
    position: int
    keep: int


async def step_together(turns: Sequence[Turn]) -> list[torch.Tensor]:
    """Session.step of each, all at once. Raises what the first to fail raises, and gives up the others."""
    for turn in turns:
        turn.session.extend(turn.hidden, turn.position)
    await open_together([(turn.session, turn.keep) for turn in turns])
    decodes = [turn.session.decode(turn.keep) for turn in turns]
    groups = list(_groups(decodes))
    parts = await gather([partial(_run, [turns[i] for i in group], [decodes[i] for i in group]) for group in groups])
    outputs = {
        i: output for group, part in zip(groups, parts, strict=True) for i, output in zip(group, part, strict=True)
    }
    return [outputs[i] for i in range(len(turns))]


def _groups(decodes: Sequence[Decode | None]) -> Iterator[list[int]]:
    """Indices of those that go together."""
    ways: dict[object, list[int]] = {}
    for index, decode in enumerate(decodes):
        ways.setdefault(decode.chain.way if decode is not None else index, []).append(index)
    for members in ways.values():
        for start in range(0, len(members), COMPANIONS_MAX + 1):
            yield members[start : start + COMPANIONS_MAX + 1]


async def _run(turns: Sequence[Turn], decodes: Sequence[Decode | None]) -> list[torch.Tensor]:
    shared = [decode for decode in decodes if decode is not None]
    if len(shared) < 2:
        return [await turn.session.run(turn.keep) for turn in turns]
    outputs = await shared[0].chain.share_step(shared)
    for turn, output in zip(turns, outputs, strict=True):
        if output is not None:
            turn.session.stepped()
    # A hop of theirs has failed, or only the stream that their frame was on.
    again = [i for i, output in enumerate(outputs) if output is None]
    for i, output in zip(
        again, await gather([partial(turns[i].session.run, turns[i].keep) for i in again]), strict=True
    ):
        outputs[i] = output
    return [output for output in outputs if output is not None]
