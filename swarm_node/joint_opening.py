"""Chains for several sessions of one call: they go on together, and so none is held for long while others wait."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from functools import partial

import trio

from dht.nursery import open_owner_nursery
from routing.errors import SwarmError
from swarm_node.session import Session
from swarm_node.settings import HOLD_SECONDS, REFUSED_SECONDS
from swarm_node.tasks import gather

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
