"""Pure decisions: which blocks a server hosts, which chains that gives, where a job goes. No I/O, no torch.

- All speak of ``span`` and ``snapshot``, ``coordinates`` and ``memory``, and raise from ``errors``.
- ``catalogue``: which models there are, from what nodes say.
- ``plan``: a cluster planned from the centre, as arXiv 2604.14993 has it.
- ``node``: what a node decides by itself.
- ``client``: what a client decides by itself.
- ``simulation`` plays them out over time.
"""

from routing.catalogue import Card, PresentModel, free_places, free_slots, longest_line, matching, models_there
from routing.client.chains import Hop, SessionShape, fastest_chain
from routing.coordinates import Coordinate
from routing.memory import cache_tokens, describe_bytes
from routing.plan.cluster import Chain, Link, ModelShape, Server, total_rate
from routing.plan.gbp_cr import Placement, gbp_cr
from routing.plan.gca import gca
from routing.plan.hardware import BlockTime, BlockWork, Device, block_time
from routing.plan.jffc import Jffc
from routing.plan.reserve import Plan, choose_reserve
from routing.plan.response_time import ResponseBounds, response_time_bounds
from routing.snapshot import NodeState, NodeView, Snapshot
from routing.span import Span, describe_blocks

__all__ = [
    "BlockTime", "BlockWork", "Card", "Chain", "Coordinate", "Device", "Hop", "Jffc", "Link", "ModelShape", "NodeState",
    "NodeView", "Placement", "Plan", "PresentModel", "ResponseBounds", "Server", "SessionShape", "Snapshot", "Span",
    "block_time", "cache_tokens", "choose_reserve", "describe_blocks", "describe_bytes", "fastest_chain", "free_places",
    "free_slots", "gbp_cr", "gca", "longest_line", "matching", "models_there", "response_time_bounds", "total_rate",
]  # fmt: skip
