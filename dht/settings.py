"""Numbers that tune the DHT and the streams, each with its unit and the reason for its value."""

from __future__ import annotations

# --- The libp2p daemon -----------------------------------------------------------------------------------------------

DAEMON_START_SECONDS = 15.0
"""To start the daemon; it takes 0.2 s on an idle machine, and a machine that is loading a model is not idle."""

DAEMON_STOP_SECONDS = 3.0
"""To end by itself when asked; then it is killed. It takes 0.05 s."""

DAEMON_STOP_POLL_SECONDS = 0.01
"""Between two looks at whether it has ended: there is no portable way to wait for a process without a thread."""

DAEMON_IDLE_SECONDS = 20
"""The daemon ends by itself if nobody holds it for so long after its start; longer than it may take to start."""

CONTROL_SECONDS = 5.0
"""For an answer of our own daemon that needs no network."""

CONTROL_MESSAGE_BYTES = 4 * 2**20
"""Longest message read from the daemon; its own limit."""

CONNECTIONS_LOW = 1024
CONNECTIONS_HIGH = 2048
"""Above the second number of connections the daemon closes the quietest down to the first, which can cut a session.
Its defaults, 256 and 512, are within reach of one popular node."""

UNIX_PATH_BYTES = 100
"""Longest path of a unix socket used: the kernels' limits are 108 bytes (Linux) and 104 (macOS)."""

SOCKET_BACKLOG = 1024
"""Streams that may wait to be accepted: a stream that finds the queue full is refused."""

# --- Streams ---------------------------------------------------------------------------------------------------------

READ_AHEAD_BYTES = 64 * 2**10
"""Read at once from a stream: the header and the tensor of a decode step of most models come in one system call."""

STREAM_GREETING_SECONDS = 5.0
"""For our own daemon to say who opened a stream."""

# --- The hash table --------------------------------------------------------------------------------------------------

DIAL_SECONDS = 10.0
"""To reach an initial peer: libp2p may try several addresses and a relay."""

RPC_SECONDS = 3.0
"""For one peer's answer to one question; a silent peer costs a lookup this long, once."""

LOOKUP_SECONDS = 10.0
"""For a whole store or lookup: three silent peers one after the other still leave time to succeed."""

SUSPECT_SECONDS = 5.0
"""A peer that did not answer is left out of lookups for so long."""

REPLICAS = 5
"""Peers that keep each record. With a tenth of them gone at any time, all five are gone once in 100,000 cases; and
what is lost is announced again in seconds."""

LOOKUP_PEERS = 10
"""Peers nearest to a key among which a lookup ends: twice the replicas. hivemind's own 20 cost twice the bytes and
found no more (100 nodes on one machine)."""

LOOKUP_WORKERS = 8
"""Questions of one lookup under way at a time: one for each shard, so that a snapshot takes few round trips."""

REJOIN_SECONDS = 10.0
"""Between two attempts to get back in touch with initial peers that were lost: half of a record's life, so that a
short cut of the network makes nobody disappear for good."""

ALONE_SECONDS = 2.0
"""The same for a peer that knows nobody any more: somebody may be waiting for a node to come back."""

CLOCK_SKEW_SECONDS = 3.0
"""Clocks may differ by so much: records live some 20 s by their publisher's clock."""

THREAD_STOP_SECONDS = 5.0
"""For the hash table's thread to finish its tasks; it takes milliseconds."""

# --- What clients ask of the hash table -------------------------------------------------------------------------------

ENQUIRY_PEERS = 3
"""Nodes that a client asks at once: one that leaves out what it should tell is outdone by the others."""

ENQUIRY_AGAIN_SECONDS = 0.5
"""Before a member that a client joins by is asked once more: whatever ended its stream may be over by then."""

ENQUIRY_GRACE_SECONDS = 0.3
"""For the others, once one of them has answered: a node across an ocean answers in that time."""

ENQUIRY_PEERS_KNOWN = 64
"""Nodes that a client keeps in mind to ask: some of them live as long as the swarm does."""

QUESTION_KEYS = 16
QUESTION_BYTES = 4096
"""Longest question: the keys of one directory are SHARDS, of some 70 bytes each."""

ANSWER_BYTES = 2 * 2**20
"""Longest answer: 5,000 nodes with records of 400 bytes."""

VERIFIED_AT_A_TIME = 64
"""Signatures that a client checks before it looks at its streams again: 0.1 ms each."""

ENQUIRY_LOOKUPS = 8
"""Lookups that a node makes at a time for those who ask: each has LOOKUP_WORKERS questions under way."""

ENQUIRIES_AT_ONCE = 512
ENQUIRIES_OF_PEER = 32
"""Questions that a node has open at a time, and those of one peer: a client looks at a few models at once."""

ENQUIRIES_PER_SECOND = 10.0
ENQUIRIES_BURST = 40.0
"""A peer that asks more often than the first waits, beyond the second: clients ask every few seconds, and somewhat more
while they look for a way."""

# --- Records ---------------------------------------------------------------------------------------------------------

RECORD_BYTES = 2048
"""Longest record accepted. Ours have 150 to 300 bytes; the rest is room for later versions."""

RECORD_LIFETIME_SECONDS = 120.0
"""A record that would live longer is refused, so that nobody fills the memory of others for long."""

EXPIRATION_STEP_SECONDS = 0.001
"""Added to a record's expiration to overrule it, since the later expiration wins: as little as a clock can tell."""

SHARDS = 8
"""Keys that the records of one model are spread over: with 1,000 nodes a key holds 125 records, about 40 KB."""

CARDS = 1024
"""Cards of models that a reader looks at, one for each node: as many nodes as the directory is measured with."""

MODELS = 16
"""Models whose nodes are read at one look at a swarm, each a question; a swarm has one or a few, and a member answers
ENQUIRIES_OF_PEER at a time."""

ADDRESSES = 8
"""Addresses in a record: a machine with more interfaces publishes the most useful ones."""

ADDRESS_BYTES = 192
"""Longest address in a record: one through a relay, with the relay's name, has about 120."""
