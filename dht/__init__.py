"""The swarm's shared memory: who a peer is, how it reaches others, and what all of them know of each other."""

from dht.late_package import put_off

put_off("hivemind")

from dht.catalogue import Catalogue, catalogue_of, read_models  # noqa: E402 - hivemind is put off before
from dht.daemon import Stream  # noqa: E402
from dht.directory import Directory  # noqa: E402
from dht.guest import open_guest  # noqa: E402
from dht.identity import Identity  # noqa: E402
from dht.multiaddr import PeerAddress  # noqa: E402
from dht.peer import Peer, open_peer  # noqa: E402
from dht.peer_id import is_signed_by, short_name  # noqa: E402
from dht.reach import Reach, furthest_reach  # noqa: E402
from dht.records import NodeRecord  # noqa: E402

__all__ = [
    "Catalogue", "Directory", "Identity", "NodeRecord", "Peer", "PeerAddress", "Reach", "Stream", "catalogue_of",
    "furthest_reach", "is_signed_by", "open_guest", "open_peer", "read_models", "short_name",
]  # fmt: skip
