"""The swarm's shared memory: who a peer is, how it reaches others, and what all of them know of each other."""

from dht.daemon import Stream
from dht.directory import Directory
from dht.identity import Identity
from dht.multiaddr import PeerAddress
from dht.peer import Peer, open_peer
from dht.peer_id import is_signed_by, short_name
from dht.reach import Reach, furthest_reach
from dht.records import NodeRecord

__all__ = [
    "Directory", "Identity", "NodeRecord", "Peer", "PeerAddress", "Reach", "Stream", "furthest_reach",
    "is_signed_by", "open_peer", "short_name",
]  # fmt: skip
