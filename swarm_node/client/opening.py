"""How a session gets a chain: the fastest free one, or the first that has room while it waits in line."""

from __future__ import annotations

import random
import time

import trio

from routing import SessionShape, Snapshot
from routing.errors import BlocksNotCovered, CacheFull, ChainBroken, PeerSilent, SwarmError
from swarm_node.client.chain import Chain
from swarm_node.client.chains import Chains
from swarm_node.client.settings import CHAINS_TRIED, REFUSALS, RETRY_SECONDS, SNAPSHOT_SECONDS
from swarm_node.client.waiting import wait_in_line


async def open_chain(chains: Chains, shape: SessionShape, until: float, since: float | None = None) -> Chain:
    """The fastest free chain for a session; waits for one, in line where there is none, until ``until``.

    ``until`` is of trio's clock. A session that has waited already, ``since`` (unix seconds), goes in line at once.
    Raises BlocksNotCovered or CacheFull if there is no chain by then, WrongModel if the peers serve another model.
    """
    told = ""
    waiting_since = since
    max_age = SNAPSHOT_SECONDS
    while True:
        try:
            if since is None:
                try:
                    return await _open_free(chains, await chains.view(max_age), shape, until)
                except CacheFull:
                    if trio.current_time() >= until:
                        raise
            waiting_since = waiting_since or time.time()
            return await wait_in_line(chains, shape, waiting_since, until)
        except PeerSilent as failure:
            error: SwarmError = failure
        except BlocksNotCovered as failure:
            await chains.check_model()
            error = failure
        if trio.current_time() + RETRY_SECONDS >= until:
            raise error
        if told != str(error):
            told = str(error)
            chains.notice(f"waiting: {told}")
        # Clients that wait for the same place must not all ask at the same moment.
        await trio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))
        max_age = 0.0


async def _open_free(chains: Chains, snapshot: Snapshot, shape: SessionShape, until: float) -> Chain:
    """The fastest chain with room; the next one as long as nodes refuse, until all are known to be full."""
    refusals = 0
    for _ in range(CHAINS_TRIED):
        hops = chains.router.route(snapshot, shape)
        try:
            chain = await chains.start(hops, shape, {})
        except ChainBroken as failure:
            chains.avoid(failure)
            if trio.current_time() >= until:
                if isinstance(failure.reason, CacheFull):
                    raise CacheFull(f"{failure}; try again later") from failure
                raise
            refusals += isinstance(failure.reason, CacheFull)
            if refusals == REFUSALS:
                break
            continue
        return await _reconsidered(chains, chain, snapshot, shape)
    raise CacheFull("every chain is full: nodes refuse more sessions for now; try again later")


async def _reconsidered(chains: Chains, chain: Chain, snapshot: Snapshot, shape: SessionShape) -> Chain:
    """The chain, or another that is faster, since more prompts are ahead at its hops than their records said."""
    hops = chains.router.second_thoughts(snapshot, shape, chain.hops, chain.backlogs, chain.held_tokens)
    if hops is None:
        return chain
    try:
        faster = await chains.start(hops, shape, {})
    except ChainBroken as failure:
        chains.avoid(failure)
        return chain
    except BaseException:
        chain.abandon()
        raise
    chain.abandon()
    return faster
