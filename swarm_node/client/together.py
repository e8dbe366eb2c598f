"""Sessions of one call: they take their chains together, and decodes that go the same way share frames."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import trio

from dht.nursery import open_owner_nursery
from routing.errors import SwarmError
from swarm_node.client.chain import Decode
from swarm_node.client.session import Session
from swarm_node.client.settings import HOLD_SECONDS, REFUSED_SECONDS
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


Asking = tuple[Session, int]
"""A session, and how many of its last tokens are wanted; see Session.open."""


async def open_together(asking: Sequence[Asking]) -> None:
    """Give each session a chain that has none. Raises BlocksNotCovered or CacheFull if there are not enough in time.

    Two calls that each had some places and waited for the other's would both wait in vain. So a call gives back what
    it holds and has not used when no more comes; it keeps its turn in line, and the calls do not do so at once.
    """
    asking = [(session, keep) for session, keep in asking if session.chain is None]
    if len(asking) < 2:
        return  # one session takes its chain when it runs
    for session, _keep in asking:
        await session.fit()
    now = trio.current_time()
    try:
        await gather([partial(session.open, keep, now) for session, keep in asking])
    except SwarmError:
        await _give_back(asking)
        await _wait(asking, now + asking[0][0].timeout)


async def _wait(asking: Sequence[Asking], until: float) -> None:
    """In line, until all have chains."""
    since = time.time()
    patience = HOLD_SECONDS
    while True:
        # At every node in the same order, so that not each of two sessions has one half of a chain.
        opening = [
            partial(session.open, keep, until, since + 1e-6 * index)
            for index, (session, keep) in enumerate(asking)
            if session.chain is None
        ]
        try:
            async with open_owner_nursery() as nursery:
                nursery.start_soon(_lose_patience, asking, patience, nursery.cancel_scope)
                await gather(opening)
        except SwarmError:
            await _give_back(asking)
            raise
        if all(session.chain is not None for session, _keep in asking):
            return
        await _give_back(asking)
        await trio.sleep(REFUSED_SECONDS)  # else what is free again would be this call's, which has waited longest
        patience *= 2


async def _lose_patience(asking: Sequence[Asking], patience: float, scope: trio.CancelScope) -> None:
    """End the wait when some have chains and no more come."""
    held = 0
    while True:
        await trio.sleep(patience * random.uniform(0.5, 1.5))
        before, held = held, sum(session.chain is not None for session, _keep in asking)
        if held and held == before:
            scope.cancel()


async def _give_back(asking: Sequence[Asking]) -> None:
    await gather([session.close for session, _keep in asking])
