"""Pure decisions: which blocks a server hosts, which chains that gives, where a job goes. No I/O, no torch.

- All speak of ``span`` and ``snapshot``, ``coordinates`` and ``memory``, and raise from ``errors``.
- A plan for a cluster, as arXiv 2604.14993 has it: ``cluster``, ``hardware``, ``gbp_cr`` (placement), ``gca`` (chains),
  ``reserve`` (c), ``response_time`` (bounds), ``jffc`` (dispatching).
- A node's decisions: ``self_placement``, over ``moves``, ``rescue`` and ``roll_call``; ``line`` says whose turn it is.
- A client's: ``chains`` and ``reuse``, by what ``ledger`` and ``backlog`` know beside the records.
- ``simulation`` plays them out over time.
"""

from routing.chains import Hop, SessionShape, fastest_chain
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
from routing.span import Span, describe_blocks

__all__ = [
    "BlockTime", "BlockWork", "Chain", "Coordinate", "Device", "Hop", "Jffc", "Link", "ModelShape", "NodeState",
    "NodeView", "Placement", "Plan", "ResponseBounds", "Server", "SessionShape", "Snapshot", "Span", "block_time",
    "cache_tokens", "choose_reserve", "describe_blocks", "describe_bytes", "fastest_chain", "gbp_cr", "gca",
    "response_time_bounds", "total_rate",
]  # fmt: skip
