"""A swarm in one process, for tests of a client or a node: real engines, session hosts and clients, no network.

Streams are socket pairs in place of libp2p, and a dict stands for the DHT, so that a swarm of several nodes is there in
milliseconds and a test sees every side of it. It needs no pytest::

    from swarm_node.testing import LocalNetwork, in_swarm, run_step

    def test_a_session_survives_the_death_of_its_node() -> None:
        async def main(swarm: LocalNetwork) -> None:
            first = await swarm.node("first", load(model), sessions=1)
            session = swarm.client("alice").open_session(16)
            before = await run_step(session, hidden[:3], 0, 1)  # [3, hidden size] go in at position 0, [1, …] come back
            await swarm.node("second", load(model), sessions=1)
            first.die()
            after = await run_step(session, hidden[3:], 3, 1)

        in_swarm(main, model)

For real node processes, which transformers' ``generate`` can use, see LocalSwarm in ``swarm_node/local_swarm.py``.
"""

from __future__ import annotations

from swarm_node.testing.chain import LocalChain, Talk, prompt, three_spans
from swarm_node.testing.network import LocalNetwork, LocalNode, LocalPeer, ask, hear, in_swarm, run_step, say

__all__ = [
    "LocalChain",
    "LocalNetwork",
    "LocalNode",
    "LocalPeer",
    "Talk",
    "ask",
    "hear",
    "in_swarm",
    "prompt",
    "run_step",
    "say",
    "three_spans",
]
