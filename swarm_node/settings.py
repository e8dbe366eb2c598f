"""Numbers that tune a node and a client, each with its unit and the reason for its value."""

from __future__ import annotations

# --- The model and its files -----------------------------------------------------------------------------------------

WIRE_VERSION = 3
"""Part of every model fingerprint: nodes that speak another protocol count as nodes of another model."""

FINGERPRINT_PIECES = 8
"""Pieces of each weight file that the fingerprint reads, evenly spread from its first byte to its last. A fine-tuned
copy often shares its first and last tensors with its base, so the ends alone would not tell the two apart."""

FINGERPRINT_PIECE_BYTES = 4096
"""Bytes per piece. A 70B model in 30 files costs about 1 MB of ranged requests."""

HEADER_BYTES_MAX = 100 * 2**20
"""Longest safetensors header believed; the format itself sets this limit."""

HUB_READERS = 8
"""Ranged requests to the Hub at once. A request takes some 100 ms and is all latency."""

# --- The block engine ------------------------------------------------------------------------------------------------

CACHE_FIRST_TOKENS = 64
"""Tokens that a session's cache is first made for; it doubles from there up to the reserved maximum."""

SELF_CHECK_TOLERANCE_EXACT = 1e-3
"""Largest relative difference of any token between the two cache paths in float32; a right path shows about 1e-6."""

SELF_CHECK_TOLERANCE_ROUGH = 0.05
"""The same for the median token in bfloat16 and float16, whose rounding alone shows up to 0.01."""

PACKED_ROWS = 16
"""Rows that oneDNN orders a weight for: with 16, one row is as fast as with 1, and eight are faster."""

MKL_ROWS = 64
"""Rows that MKL orders a weight for: with 64 it is as fast as with any other number, from one row to hundreds."""

SAMPLE_WIDTH = 1024
SAMPLE_WEIGHTS = 4
SAMPLE_ROWS = (1, 8)
"""What both libraries are tried with: square weights, more of them than a core's cache holds, and rows."""

WIDENED_ROWS = 4
WIDENED_COLUMNS = 512
"""From so many rows on, half precision is computed in float32 where the processor cannot, so many columns of the
weight at a time: their float32 copy stays in its cache."""

INT8_ROWS = {"cpu": 8, "cuda": 64}
"""Up to so many rows are multiplied by weights in 8 bits as they are; for more, the weights are widened first."""

ATTENTION_SPLITS_MAX = 32
"""Parts at most in which a GPU works on one token's cache: 32 fill a large one for a single session."""

ATTENTION_TILE_BYTES = 32 * 2**10
"""Keys and values in a multiprocessor's own memory at a time; two such tiles, one being loaded, fit into any GPU's."""

GRAPH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Tokens of the steps that a GPU has recorded; a step with fewer is filled up. Larger steps run as they are."""

GRAPHS_MAX = 48
"""Recorded steps that are kept: three spans in all sizes."""

DECODE_TOKENS_MAX = 16
"""A step of at most so many tokens counts as a decode and goes first: one token, or a few that are being verified."""

BATCH_ROWS_MAX = 256
"""Steps in one batch. Beyond this, one more row costs as much in a batch of its own."""

PREFILL_BESIDE_DECODES = {"cpu": 64, "cuda": 512}
"""Prompt tokens in a batch that holds decodes. On a CPU 64 tokens double the time of a step with 8 decodes."""

PREFILL_ALONE = {"cpu": 512, "cuda": 4096}
"""Prompt tokens in a batch without decodes; larger batches run no faster per token."""

DECODES_RECENT_SECONDS = 0.5
"""So long after a decode its session is taken to come back, and prompts keep to small slices although no decode waits
at this moment: it is on its way round the ring."""

AWAY_WEIGHT = 0.3
"""Weight of the last time in how long a session is mostly away between two decodes."""

AWAY_MOST = 2.0
AWAY_LEAST_SHARE = 0.25
"""A session that is away for longer than so many times what is usual for it has ended or pauses; one that is late is
expected in this part of what is usual."""

BATCH_TIMES_KEPT = 0.97
"""Weight of all earlier batches, beside the newest, in what batches of how many sessions take: 33 count."""

PAUSE_MOST = 1.5
"""Longest pause before a batch of decodes, in times of its fixed part. If sessions are away for longer than that part,
the engine has nothing to do between two batches anyway, and loses little by waiting."""

FIXED_SHARE = 0.5
"""Part of a batch's time taken to be the same for any number of sessions, as long as all batches had the same number:
with 8 sessions it is as much on two cores, with fewer, or on a GPU, more."""

MOVING_MEAN_WEIGHT = 0.1
"""Weight of the newest batch in the moving means of compute times."""

MEASURE_SECONDS = 0.5
"""Time given to each of the two measurements of a span's speed."""

MEASURE_HISTORY_TOKENS = 128
"""Tokens in the cache before decode steps are measured."""

# --- Prefix reuse ----------------------------------------------------------------------------------------------------

PREFIX_TOKENS = 64
"""Tokens between two beginnings of a session that can be found again. What is left over is computed once more: half of
this on average, which takes a decode's time or two."""

PREFIX_KEY_BYTES = 16
"""Of the hash that names a beginning: nobody finds two of the same name by chance."""

PREFIX_KEYS_MAX = 256
"""Beginnings that a session names: 16,384 tokens, in half of a frame header."""

PREFIXES_MAX = 256
"""Sessions whose beginnings a node keeps: as many are looked through whenever a session opens, in about 0.5 ms."""

PREFIX_IDLE_SECONDS = 600.0
"""For which a beginning is kept that nobody uses: a person's pause in a conversation."""

# --- Frames ----------------------------------------------------------------------------------------------------------

MAX_HEADER_BYTES = 8192
"""Longest frame header read. The largest, an `open` with sixteen addresses of the next hop and PREFIX_KEYS_MAX keys,
has about 6 KiB."""

COMPANIONS_MAX = 63
"""Other sessions' decodes in one frame: their headers have at most 6 KiB."""

MAX_PAYLOAD_BYTES = 64 * 2**20
"""Longest tensor read: 512 tokens of a model 16,384 wide in float32 take half of it."""

MAX_SESSION_TOKENS = 2**24
"""More tokens than any model's context: keeps arithmetic on hostile numbers small."""

PREFILL_STEP_TOKENS = 128
"""Prompt tokens in one frame: hops work on different frames of a prompt at the same time."""

WIRE_SCALED = 64
"""Values of a hidden state that share a scale when it travels in 8 bits."""

PROBE_BYTES = 2**20
"""Bytes sent each way to measure bandwidth: 0.1 s at 100 Mbit/s, long enough to see more than one round trip."""

# --- Waiting for each other ------------------------------------------------------------------------------------------

CONNECT_SECONDS = 10.0
"""To reach a peer: libp2p may try several addresses and a relay."""

OPEN_SECONDS = 10.0
"""For a connected peer's answer to `open` or `about`: it only looks at its books, but may be busy computing."""

CLOSE_SECONDS = 1.0
"""For a last word and the end of a stream; the other side sees the end in any case."""

HEARTBEAT_SECONDS = 2.0
"""Between two pings on each stream of a session. A cut that nobody reports is seen only by silence."""

PEER_SILENCE_SECONDS = 10.0
"""A hop that sends nothing for so long, though pinged, is dead: five heartbeats, since a busy machine may be late."""

SESSION_SILENCE_SECONDS = 30.0
"""A client that sends nothing for so long has vanished, and its cache is freed."""

BLAME_SECONDS = 0.5
"""A hop says that the next one is dead: the client's own stream to that one then ends within 0.05 s, if it is true."""

STEP_SECONDS = 20.0
"""Patience with any step, before what the hops' own measurements add."""

STEP_PATIENCE = 20.0
"""How many times slower than a node measured itself alone it may be, since others use it too."""

RTT_GAIN = 0.2
"""Weight of the newest round trip in a client's moving mean."""

# --- A client ------------------------------------------------------------------------------------------------------

CLIENT_TIMEOUT_SECONDS = 60.0
"""How long a step waits for missing blocks or a free place: time for an operator to restart a node."""

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

MAX_TICKETS = 32
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

# --- Guessing ahead ------------------------------------------------------------------------------------------------

LONGEST_INDEXED = 4
"""Longest run of tokens whose earlier occurrence is looked up; a match is followed further back from there."""

LONGEST_MATCH = 8
"""Tokens that occurred before; a longer match makes a guess no surer."""

STEPS_REMEMBERED = 7
"""Times of steps whose median counts: one that met a failure or a busy moment says nothing of the next."""

GUESSES_REMEMBERED = 20
"""About so many guesses make a rate: texts turn from copying to inventing, and back, within a few sentences."""

DRAFT_RATE = 0.7
"""Share of a draft model's guesses that are expected to come true before any were seen."""

DRAFT_TIMES_LEAST = 3
"""Tokens whose time must be known before a draft model is judged by their median: the first is often slow."""

GUESSES_WORTH = 1.05
"""Gain in tokens a second below which no guess is verified: nodes compute wrong ones in vain while others wait."""

ONE_MORE_GUESS_WORTH = 1.01
"""What one guess more must add, for the same reason."""

# --- A node --------------------------------------------------------------------------------------------------------

ANNOUNCE_SECONDS = 6.0
"""Between two announcements of a node at rest."""

MIN_ANNOUNCE_SECONDS = 1.0
"""Between two announcements of a node whose sessions come and go."""

RECORD_SECONDS = 20.0
"""A record fades after so long: two announcements may get lost, and a ghost is gone within 30 s."""

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

PROMISE_SECONDS = 90.0
"""For which a node that was asked stays: until the one that asked has drained, gone, and everybody has seen it."""

LOAD_SECONDS = 60.0
"""What loading blocks is taken to cost when a move is weighed: about 12 GB from a disk, or 1 GB from the Hub."""

PROBES_AT_ONCE = 1
"""Bandwidth measurements that a node answers at the same time: two would measure each other."""

PROBE_SECONDS = 30.0
"""For a bandwidth measurement: slower links need no exact figure."""

SPEED_LIFE_SECONDS = 24 * 3600.0
"""So long a measured speed of this device with this model is taken for its present one."""

DRAIN_SECONDS = 30.0
"""A leaving node waits so long for its sessions; their clients replay what remains elsewhere."""

SESSION_TOKENS = 2048
"""Length of the session that memory is planned for, where the model's context is not shorter."""


def session_tokens(context_length: int | None) -> int:
    """Tokens of such a session, which is one cache slot."""
    return min(SESSION_TOKENS, context_length or SESSION_TOKENS)


CPU_MEMORY_SHARE = 0.5
"""Share of the free memory a CPU node takes when not told: the owner goes on using the machine."""

GPU_MEMORY_SHARE = 0.9
"""Share of the free memory of a GPU: the rest is for temporaries."""

WITHDRAW_SECONDS = 3.0
"""To tell the DHT that this node has gone; if that fails, its record fades."""
