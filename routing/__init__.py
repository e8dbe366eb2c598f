"""Pure decisions: which blocks a node hosts, which chain a session takes. No I/O, no torch."""

from routing.chains import Hop, describe_blocks, fastest_chain
from routing.placement import blocks_that_fit, cache_tokens, describe_bytes, newcomer_span
from routing.snapshot import NodeState, NodeView, Snapshot
from routing.span import Span

__all__ = [
    "Hop",
    "NodeState",
    "NodeView",
    "Snapshot",
    "Span",
    "blocks_that_fit",
    "cache_tokens",
    "describe_blocks",
    "describe_bytes",
    "fastest_chain",
    "newcomer_span",
]
