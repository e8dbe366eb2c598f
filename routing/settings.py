"""Numbers that tune decisions, each with its unit and the reason for its value."""

from __future__ import annotations

# --- Network coordinates -------------------------------------------------------------------------------------------

COORDINATE_GAIN = 0.5
"""Share of a prediction's error that one measurement corrects at equal trust. Half as much (Dabek et al., SIGCOMM 2004)
needs twice as many measurements to settle in our trials, and ends no better."""

COORDINATE_ERROR_GAIN = 0.25
"""Weight of one measurement in a peer's moving mean of its own error, at equal trust (the same source)."""

COORDINATE_HEIGHT_MIN = 0.0001
"""Seconds: the least that an access link adds, so that two peers behind one never seem to be the same."""

COORDINATE_SECONDS_MAX = 5.0
"""Longest round trip believed, and the widest coordinate: longer ones are stalled machines."""

UNPLACED_ONE_WAY_SECONDS = 0.01
"""Taken for a message to or from a peer whose place is unknown: a typical one in Europe."""

# --- Chains for sessions -------------------------------------------------------------------------------------------

NEAR_EQUAL = 0.1
"""Chains whose times differ by less than this share are chosen from at random: clients who read the same records must
not all run to the same nodes."""

LINK_HANDLING_SECONDS = 0.002
"""What one hop adds to a token beside the network and the blocks: two processes' work on a frame."""

# --- Waiting lines -------------------------------------------------------------------------------------------------

OFFER_SECONDS = 1.0
"""Room that was freed is kept so long for the session whose turn it is: the client has to hear of it and to hear the
same from the other nodes of a chain."""

LINE_AGE_SECONDS = 300.0
"""Longest wait that a client is believed to have behind it when it comes to a line."""

# --- Placement -----------------------------------------------------------------------------------------------------

TURN_SECONDS = 60.0
"""One node at a time may move for speed, for so long: all have seen its move before it is the next one's turn."""

CALM_SECONDS = 600.0
GROWING_SHARE = 0.1
"""Where more than this share of the nodes joined within so many seconds, nobody moves for speed alone: what is best now
will soon be another thing."""

WORTHWHILE = 0.01
"""Least gain for which anybody moves, as a share of the response time: below it, what is measured of servers and of the
arrival rate is no better known than that."""

HORIZON_SECONDS = 3600.0
"""Time over which a move must pay for what the server does not serve while it loads: servers and the arrival rate stay
about as they are for so long."""

HOUR_SECONDS = 3600.0
"""Over which comings are counted, to tell how long a plan is likely to stand."""

QUIET_JOB_RATE = 1 / 60
"""Jobs per second that placement reckons with at least: a swarm that nobody uses now should serve whoever comes."""

LEAST_RESERVE = 4
"""Sessions that every node keeps room for where its memory allows it, however few come."""

MOST_DOUBLINGS = 6
"""A newcomer reckons with up to 64 times the servers that are there, so that the first may hold as little as a 64th of
the model. Each doubling costs a plan."""

MOST_PLACES = 64
"""Spans that a node weighs against each other: each costs a run of GCA, 0.1 s among 1,000 nodes."""

FEWEST_RESERVES = 16
PLANNED_SERVERS = 32_000
"""Values of c that a plan compares, times the servers that it is for: 3 s of GCA. Where there are more values, at least
the first of these numbers are compared, spread evenly by ratio. Sixteen for all cost 1% of the response time."""

UNMEASURED_SECONDS = 0.001
"""Compute time per token and block of a node that has not measured itself, where nobody else has."""

USUAL_PROMPT_TOKENS = 512.0
USUAL_NEW_TOKENS = 128.0
"""Lengths of a job in a swarm that has not seen any: a question with some context, and its answer."""
