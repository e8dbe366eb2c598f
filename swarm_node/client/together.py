"""Sessions of one call: they take their chains together, and decodes that go the same way share frames."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from dht.nursery import open_owner_nursery
from routing.errors import SwarmError
from swarm_node.client.session import Session
from swarm_node.client.settings import HOLD_SECONDS, REFUSED_SECONDS
from swarm_node.client.step import SessionStep, StepState
from swarm_node.settings import COMPANIONS_MAX
from swarm_node.tasks import gather

if TYPE_CHECKING:
    from torch import Tensor

Steps = Mapping[Session, SessionStep]
"""What each session of one call wants computed."""


async def step_together(steps: Steps) -> list[Tensor]:
    """Run each session's [tokens, hidden] at its position through all blocks; returns the [keep, hidden] of each.

    A position before a sequence's end forgets the tokens from there on. Raises what the first session to fail raises
    (see Session.run and open_together), and gives up the others.
    """
    for session, step in steps.items():
        session.take_in(step)
    await open_together(steps)
    await gather(
        [
            partial(group[0].run, steps[group[0]]) if len(group) == 1 else partial(_share, group, steps)
            for group in _groups(steps)
        ]
    )
    return [step.output() for step in steps.values()]


async def decode_together(steps: Steps) -> None:
    """Run decodes once on the chains that their sessions have, those that go the same way in shared frames.

    One that is not DONE then has come to nothing: its session has no chain, or one that broke or was given up. Its
    sequence has taken the step in all the same; Session.run would bring it to its end.
    """
    for session, step in steps.items():
        session.take_in(step)
    ready = {session: step for session, step in steps.items() if session.decodes(step)}
    await gather([partial(_share_once, group, steps) for group in _groups(ready)])


def _groups(steps: Steps) -> Iterator[Sequence[Session]]:
    """Sessions that go together."""
    ways: dict[object, list[Session]] = {}
    for session, step in steps.items():
        way = session.chain.way if session.chain is not None and session.decodes(step) else session
        ways.setdefault(way, []).append(session)
    for members in ways.values():
        for start in range(0, len(members), COMPANIONS_MAX + 1):
            yield members[start : start + COMPANIONS_MAX + 1]


async def _share(group: Sequence[Session], steps: Steps) -> None:
    """Run the decodes of a group, all on chains that go the same way."""
    await _share_once(group, steps)
    # Of the others, a hop of its own has failed, or only the stream that the frame was on.
    again = [session for session in group if steps[session].state is not StepState.DONE]
    await gather([partial(session.run, steps[session]) for session in again])


async def _share_once(group: Sequence[Session], steps: Steps) -> None:
    shared = {session.chain: steps[session] for session in group if session.chain is not None}
    if shared:  # else all were abandoned meanwhile
        await next(iter(shared)).share_step(shared)
    for session in group:
        if steps[session].state is StepState.DONE:
            session.stepped()


async def open_together(steps: Steps) -> None:
    """Give each session a chain that has none. Raises BlocksNotCovered or CacheFull if there are not enough in time.

    Two calls that each had some places and waited for the other's would both wait in vain. So a call gives back what
    it holds and has not used when no more comes; it keeps its turn in line, and the calls do not do so at once.
    """
    steps = {session: step for session, step in steps.items() if session.chain is None}
    if len(steps) < 2:
        return  # one session takes its chain when it runs
    for session in steps:
        await session.fit()
    now = trio.current_time()
    try:
        await gather([partial(session.open, step, now) for session, step in steps.items()])
    except SwarmError:
        await _give_back(steps)
        await _wait(steps, now + next(iter(steps)).timeout)


async def _wait(steps: Steps, until: float) -> None:
    """In line, until all have chains."""
    since = time.time()
    patience = HOLD_SECONDS
    while True:
        # At every node in the same order, so that not each of two sessions has one half of a chain.
        opening = [
            partial(session.open, step, until, since + 1e-6 * index)
            for index, (session, step) in enumerate(steps.items())
            if session.chain is None
        ]
        try:
            async with open_owner_nursery() as nursery:
                nursery.start_soon(_lose_patience, steps, patience, nursery.cancel_scope)
                await gather(opening)
        except SwarmError:
            await _give_back(steps)
            raise
        if all(session.chain is not None for session in steps):
            return
        await _give_back(steps)
        await trio.sleep(REFUSED_SECONDS)  # else what is free again would be this call's, which has waited longest
        patience *= 2


async def _lose_patience(steps: Steps, patience: float, scope: trio.CancelScope) -> None:
    """End the wait when some have chains and no more come."""
    held = 0
    while True:
        await trio.sleep(patience * random.uniform(0.5, 1.5))
        before, held = held, sum(session.chain is not None for session in steps)
        if held and held == before:
            scope.cancel()


async def _give_back(steps: Steps) -> None:
    await gather([session.close for session in steps])
