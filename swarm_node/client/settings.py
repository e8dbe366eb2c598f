"""Numbers that tune this room, each with its unit and the reason for its value."""

from __future__ import annotations

PREFILL_STEP_TOKENS = 128
"""Prompt tokens in one frame: hops work on different frames of a prompt at the same time."""

HEARTBEAT_SECONDS = 2.0
"""Between two pings on each stream of a session. A cut that nobody reports is seen only by silence."""

PEER_SILENCE_SECONDS = 10.0
"""A hop that sends nothing for so long, though pinged, is dead: five heartbeats, since a busy machine may be late."""

BLAME_SECONDS = 0.5
"""A hop says that the next one is dead: the client's own stream to that one then ends within 0.05 s, if it is true."""

STEP_SECONDS = 20.0
"""Patience with any step, before what the hops' own measurements add."""

STEP_PATIENCE = 20.0
"""How many times slower than a node measured itself alone it may be, since others use it too."""

RTT_GAIN = 0.2
"""Weight of the newest round trip in a client's moving mean."""

CLIENT_END_SECONDS = 5.0
"""For a client that failed to close its streams and daemon, so that a call can say why."""

RETRY_SECONDS = 1.0
"""Between two looks at the directory while waiting."""

SNAPSHOT_SECONDS = 5.0
"""Age up to which a snapshot is good for a new chain; nodes announce about as often."""

DOUBT_SECONDS = 2.0
"""A node's word that it is full is doubted when it is so old: sessions end at any moment."""

CHANGE_SECONDS = 0.1
"""What another chain must save, beside its opening, for a session to leave the one that it has just opened."""

STALE_SECONDS = 20.0
"""So much older a snapshot may be for a chain to be opened by it while it is read anew: a record's life."""

CHAINS_PER_STEP = 6
"""Chains tried for one step before its error is believed to be the step's own fault."""

AVOID_FAILED_SECONDS = 10.0
"""A failed node is left alone so long: its record needs about twice that to expire, a restart about half."""

FRESH_SECONDS = 0.5
"""A record made so long after a peer's failure shows that the peer is back; less may be the order of two clocks."""

CHAINS_TRIED = 16
"""Chains tried before a session goes to wait in line, whatever their nodes have died of or refused it for."""

REFUSALS = 3
"""Chains that may refuse a session for want of cache before that: more of them cost more than they find."""

MAX_PLACES = 32
"""Nodes at which one session waits. The first of them to have room serve it, so more would hardly be sooner."""

SERVED_REMEMBERED = 256
"""Beginnings of which a client remembers the chain: those of the sessions that it had lately."""

WAITING_SNAPSHOT_SECONDS = 10.0
"""Between two looks of a waiting session at the directory: nodes with room tell it themselves, others may have come."""

REFUSED_SECONDS = 0.2
"""A waiting session that is refused comes back after up to so long, and not together with those it competes with."""

HOLD_SECONDS = 2.0
"""So long some sessions of one call hold places, at first, while others of it wait for theirs in vain."""

NOTICE_SECONDS = 5.0
"""Between two lines about the same wait for who looks on."""

PATIENCE_SECONDS = 1.0
"""A wait in line that is shorter is not worth a line."""

ASSUMED_HOP_SECONDS = 0.02
"""What a hop to a node is taken to cost before it was measured; half of this is a typical one-way delay in Europe."""
