"""The swarm's shared memory: who a peer is, how it reaches others, and what all of them know of each other."""

from dht.catalogue import Catalogue, catalogue_of, read_models
from dht.daemon import Stream
from dht.directory import Directory
from dht.guest import open_guest
from dht.identity import Identity
from dht.multiaddr import PeerAddress
from dht.peer import Peer, open_peer
from dht.peer_id import is_signed_by, short_name
from dht.records import NodeRecord

__all__ = [
    "Catalogue", "Directory", "Identity", "NodeRecord", "Peer", "PeerAddress", "Stream", "catalogue_of", "is_signed_by",
    "open_guest", "open_peer", "read_models", "short_name",
]  # fmt: skip
