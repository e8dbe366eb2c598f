"""Numbers that tune this room, each with its unit and the reason for its value."""

from __future__ import annotations

from swarm_node.settings import ANNOUNCE_SECONDS

SESSION_SILENCE_SECONDS = 30.0
"""A client that sends nothing for so long has vanished, and its cache is freed."""

MIN_ANNOUNCE_SECONDS = 1.0
"""Between two announcements of a node whose sessions come and go."""

CARD_SECONDS = 30.0
CARD_LIFETIME_SECONDS = 100.0
"""A node publishes its model's card again after the first, and it fades after the second: two may get lost. A card says
nothing that changes, and counts only beside a node's record, so it need not be as fresh as that."""

DEMAND_SECONDS = 180.0
"""Over which a node averages how many jobs come: a burst should not move blocks, a busy evening should."""

LOOK_SECONDS = 6.0
"""Between two looks of a node at the others: as often as they announce themselves."""

OVERDUE_SECONDS = 1.25 * ANNOUNCE_SECONDS
"""A record that was not renewed for so long is overdue: an announcement was lost, or its node is gone. The quarter is
for clocks that differ and for a slow hash table; if it is too short, a node is asked that is there."""

ASK_SECONDS = 1.0
"""For an overdue node to say that it is there. A new connection to the other end of the world takes longer, and so a
node that is silent is asked again."""

ASK_AGAIN_SECONDS = 3.0
"""For its answer then, and for those of others that may have crashed with it: ten round trips round the world. With
ASK_SECONDS, LOOK_SECONDS and OVERDUE_SECONDS that makes 17.5 s until all know of a crash: less than three
announcements."""

ASKED_PEERS = 64
"""Peers that are asked at once; in a larger swarm those whose blocks the fewest host."""

FIRST_MEASURED_PEERS = 8
MEASURED_PEERS = 1
"""Peers to which a node measures the round trip at its first look and at later ones. Two or three dozen measurements
place it; the network changes slowly."""

REMEMBERED_PEERS = 32
"""Round trips that a node goes by to find its place: two dozen settle it."""

PINGS = 3
"""Round trips of such a measurement, of which the shortest counts: the others met a busy machine."""

PROMISERS = 16
"""Hosts of a block that are asked to stay when one leaves it; with more of them it is in no danger."""

LOAD_SECONDS = 60.0
"""What loading blocks is taken to cost when a move is weighed: about 12 GB from a disk, or 1 GB from the Hub."""

PROBES_AT_ONCE = 1
"""Bandwidth measurements that a node answers at the same time: two would measure each other."""

PROBE_SECONDS = 30.0
"""For a bandwidth measurement: slower links need no exact figure."""

DRAIN_SECONDS = 30.0
"""A leaving node waits so long for its sessions; their clients replay what remains elsewhere."""

CPU_MEMORY_SHARE = 0.5
"""Share of the free memory a CPU node takes when not told: the owner goes on using the machine."""

GPU_MEMORY_SHARE = 0.9
"""Share of the free memory of a GPU: the rest is for temporaries."""

WITHDRAW_SECONDS = 3.0
"""To tell the DHT that this node has gone; if that fails, its record fades."""

LINE_LENGTH = 1024
"""Sessions that may wait at one node: each holds a stream, and a longer line is no use to who comes last."""

METRICS_CONNECTIONS = 16
"""Callers of the metrics page that may wait to be accepted: there are one or two Prometheus servers."""
