"""Pure decisions: which blocks a server hosts, which chains that gives, where a job goes. No I/O, no torch.

``routing.simulation`` plays them out over time.
"""

from routing.chains import Hop, SessionShape, describe_blocks, fastest_chain
from routing.cluster import Chain, Link, ModelShape, Server, total_rate
from routing.coordinates import Coordinate
from routing.gbp_cr import Placement, gbp_cr
from routing.gca import gca
from routing.hardware import BlockTime, BlockWork, Device, block_time
from routing.jffc import Jffc
from routing.memory import cache_tokens, describe_bytes
from routing.reserve import Plan, choose_reserve
from routing.response_time import ResponseBounds, response_time_bounds
from routing.snapshot import NodeState, NodeView, Snapshot
from routing.span import Span

__all__ = [
    "BlockTime",
    "BlockWork",
    "Chain",
    "Coordinate",
    "Device",
    "Hop",
    "Jffc",
    "Link",
    "ModelShape",
    "NodeState",
    "NodeView",
    "Placement",
    "Plan",
    "ResponseBounds",
    "Server",
    "SessionShape",
    "Snapshot",
    "Span",
    "block_time",
    "cache_tokens",
    "choose_reserve",
    "describe_blocks",
    "describe_bytes",
    "fastest_chain",
    "gbp_cr",
    "gca",
    "response_time_bounds",
    "total_rate",
]
