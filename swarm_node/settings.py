"""Numbers that several rooms share, each with its unit and the reason for its value."""

from __future__ import annotations

WIDENED_ROWS = 4
WIDENED_COLUMNS = 512
"""From so many rows on, half precision is computed in float32 where the processor cannot, so many columns of the
weight at a time: their float32 copy stays in its cache."""

DECODE_TOKENS_MAX = 16
"""A step of at most so many tokens counts as a decode and goes first: one token, or a few that are being verified."""

PREFIX_IDLE_SECONDS = 600.0
"""For which a beginning is kept that nobody uses: a person's pause in a conversation."""

COMPANIONS_MAX = 63
"""Other sessions' decodes in one frame: their headers have at most 6 KiB."""

PROBE_BYTES = 2**20
"""Bytes sent each way to measure bandwidth: 0.1 s at 100 Mbit/s, long enough to see more than one round trip."""

CONNECT_SECONDS = 10.0
"""To reach a peer: libp2p may try several addresses and a relay."""

OPEN_SECONDS = 10.0
"""For a connected peer's answer to `open` or `about`: it only looks at its books, but may be busy computing."""

CLOSE_SECONDS = 1.0
"""For a last word and the end of a stream; the other side sees the end in any case."""

ANNOUNCE_SECONDS = 6.0
"""Between two announcements of a node at rest."""

RECORD_SECONDS = 20.0
"""A record fades after so long: two announcements may get lost, and a ghost is gone within 30 s."""

PROMISE_SECONDS = 90.0
"""For which a node that was asked stays: until the one that asked has drained, gone, and everybody has seen it."""

SESSION_TOKENS = 2048
"""Length of the session that memory is planned for, where the model's context is not shorter."""


def session_tokens(context_length: int | None) -> int:
    """Tokens of such a session, which is one cache slot."""
    return min(SESSION_TOKENS, context_length or SESSION_TOKENS)
