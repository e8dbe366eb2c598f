"""A nursery that long-lived objects run their background tasks in."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from routing.errors import SwarmError, leaves

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_owner_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery that ends its tasks when its body ends, and out of which one error comes as itself, not in a group.

    So that whoever uses the object need not know that tasks run behind it. Of several SwarmErrors the first comes out,
    which brought the others about; any other combination stays a group.
    """
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failure = _decisive(group)
    if failure is not None:
        raise failure  # outside the except clause, which would hang the group on it as its context


def _decisive(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found = list(leaves(group))
    errors = [leaf for leaf in found if not isinstance(leaf, trio.Cancelled)]
    if not errors:
        return found[0]
    if len(errors) == 1 or all(isinstance(error, SwarmError) for error in errors):
        for other in errors[1:]:
            log.debug("at the same time: %s", other)
        return errors[0]
    return group
