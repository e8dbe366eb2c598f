"""What one reader of the directory knew of the swarm at one moment; everything in routing is a function of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum

from routing.coordinates import Coordinate
from routing.span import Span, gaps, replicas


class NodeState(StrEnum):
    """A node's life: JOINING → LOADING → MEASURING → ONLINE → DRAINING → OFFLINE."""

    JOINING = "joining"
    LOADING = "loading"
    MEASURING = "measuring"
    ONLINE = "online"
    DRAINING = "draining"
    OFFLINE = "offline"


_CLAIMING = frozenset({NodeState.LOADING, NodeState.MEASURING, NodeState.ONLINE})


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node as its own signed record describes it.

    Cache is counted in block-tokens: the keys and values of one token in one block, on average over blocks. A session
    of at most T tokens on m blocks reserves T·m of them, and more where blocks keep states; see session_tokens().
    """

    peer_id: str
    addresses: tuple[str, ...]
    """Multiaddrs, each with the /p2p/ part."""
    state: NodeState
    span: Span
    """Blocks that it serves, or will when it is online."""
    memory_bytes: int
    """Memory the owner gives: M_j of arXiv 2604.14993."""
    block_bytes: int
    """Weights of one block: s_m."""
    token_bytes: int
    """Cache of one token in one block, on average over blocks."""
    cache_tokens: int
    """Block-tokens that fit beside the weights."""
    free_tokens: int
    """Block-tokens not reserved by any session."""
    prefill_seconds: float
    """Measured compute time per prompt token and block."""
    decode_seconds: float
    """Measured compute time per decode step and block."""
    state_tokens: int = 0
    """Block-tokens that a session takes in each block however long it is, on average: what recurrent blocks keep."""
    expires_at: float = field(default=0.0, compare=False)
    """When the record fades (unix seconds); it was made a record's lifetime earlier."""
    running: int = 0
    """Sessions that hold cache now."""
    waiting: int = 0
    """Sessions that wait for cache."""
    backlog_tokens: int = 0
    """Block-tokens of prompts that it has yet to compute."""
    target: Span | None = None
    """Where it is moving to: until then it serves ``span``, the blocks that it had before and will keep."""
    pinned: bool = False
    """Its owner has chosen its blocks, so it never moves."""
    joined_at: float = 0.0
    """When it came (unix seconds)."""
    job_rate: float = 0.0
    """Jobs per second that came to it lately, each counted as the share of the model's blocks that it asked for here:
    summed over all nodes, the arrival rate λ of the swarm."""
    prompt_tokens: float = 0.0
    new_tokens: float = 0.0
    """Mean lengths of these jobs; 0 if there were none."""
    coordinate: Coordinate = field(default_factory=Coordinate)
    upload_rate: float = 0.0
    download_rate: float = 0.0
    """Bytes per second to and from other peers, as measured; 0 if not."""
    dtype: str = "float32"
    version: str = ""
    """Software version of the node."""

    def session_tokens(self, max_tokens: int, blocks: int = 1) -> int:
        """Block-tokens that a session of at most ``max_tokens`` tokens takes on so many blocks."""
        return (max_tokens + self.state_tokens) * blocks

    @property
    def claim(self) -> Span:
        """The blocks that it hosts or is about to."""
        return self.target or self.span


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All live nodes of one model, as read at ``taken_at`` (unix seconds)."""

    model: str
    """Model fingerprint."""
    nodes: tuple[NodeView, ...]
    taken_at: float

    def age(self, now: float) -> float:
        """Seconds between the reading and ``now``."""
        return max(0.0, now - self.taken_at)

    def online(self) -> tuple[NodeView, ...]:
        """Nodes that serve their blocks now."""
        return tuple(node for node in self.nodes if node.state is NodeState.ONLINE)

    def replicas(self, blocks: int) -> list[int]:
        """How many online nodes host each of the model's ``blocks`` blocks."""
        return replicas((node.span for node in self.online()), blocks)

    def missing(self, blocks: int) -> list[Span]:
        """The maximal ranges of blocks that no online node hosts."""
        return gaps(self.replicas(blocks))

    def claiming(self) -> tuple[NodeView, ...]:
        """Nodes that host blocks or are about to."""
        return tuple(node for node in self.nodes if node.state in _CLAIMING)

    def others(self, me: NodeView) -> tuple[NodeView, ...]:
        """Those of claiming() that are not ``me``."""
        return tuple(node for node in self.claiming() if node.peer_id != me.peer_id)

    def without(self, gone: Collection[str]) -> Snapshot:
        """The same without the nodes ``gone``, by peer id."""
        return replace(self, nodes=tuple(node for node in self.nodes if node.peer_id not in gone))
