"""Why a node has work or none, and who can reach it, in words for its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.figures import count
from routing import NodeState, describe_blocks

if TYPE_CHECKING:
    from swarm_node.node import Standing


def work_of(standing: Standing) -> str:
    """What the node does now, and where it does nothing, what it waits for."""
    match standing.state:
        case NodeState.JOINING:
            return "looks for the swarm; goes on when an initial peer answers"
        case NodeState.LOADING:
            return "loads its blocks"
        case NodeState.MEASURING:
            return "measures how fast it computes; takes sessions after that"
        case NodeState.DRAINING:
            running = standing.view.running if standing.view is not None else 0
            return f"waits for {count(running, 'session')} to end, then leaves"
        case NodeState.OFFLINE:
            return "has left the swarm"
    return _online(standing)


def _online(standing: Standing) -> str:
    from dht import Reach, furthest_reach  # brings what the panel's first line must not wait for

    view, served = standing.view, standing.counts.served
    if view is None:
        return "has no blocks yet"
    if view.target is not None:
        return f"moves to blocks {view.target} and serves {view.span} meanwhile"
    if missing := standing.missing:
        return f"no work can come: nobody serves blocks {describe_blocks(missing)}; a node with them must join"
    if view.waiting:
        return f"full: {count(view.waiting, 'session')} in line for its cache; more --memory takes more at once"
    if view.running:
        return f"serves {count(view.running, 'session')}"
    if furthest_reach(standing.addresses) is Reach.MACHINE:
        return "no work: only this machine can reach it; --host 0.0.0.0 lets others in"
    if rivals := [node for node in standing.others if node.state is NodeState.ONLINE and node.span.covers(view.span)]:
        return f"no work now: {count(len(rivals), 'other node')} with the same blocks, and clients take the faster way"
    return "no work now; it serves whoever asks" if served else "no work yet: nobody has asked; pass on the line Use:"


def reach_of_node(standing: Standing) -> str:
    """Who can call it at the addresses that it announces."""
    from dht import Reach, furthest_reach

    match furthest_reach(standing.addresses):
        case Reach.INTERNET:
            return "the internet, if the firewall lets its port in"
        case Reach.NETWORK:
            return "your own network; others if the router forwards its port"
        case Reach.RELAY:
            return "through another peer"
        case Reach.MACHINE:
            return "programs on this machine"
    return "nobody: it has no address"
