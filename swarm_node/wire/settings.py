"""Numbers that tune this room, each with its unit and the reason for its value."""

from __future__ import annotations

PREFIX_TOKENS = 64
"""Tokens between two beginnings of a session that can be found again. What is left over is computed once more: half of
this on average, which takes a decode's time or two."""

PREFIX_KEY_BYTES = 16
"""Of the hash that names a beginning: nobody finds two of the same name by chance."""

PREFIX_KEYS_MAX = 256
"""Beginnings that a session names: 16,384 tokens, in half of a frame header."""

MAX_HEADER_BYTES = 8192
"""Longest frame header read. The largest, an `open` with sixteen addresses of the next hop and PREFIX_KEYS_MAX keys,
has about 6 KiB."""

MAX_HEADER_ITEMS = 64
"""Entries of a map or a list in a header: a frame's companions are the longest list, with one less."""

MAX_PAYLOAD_BYTES = 64 * 2**20
"""Longest tensor read: 512 tokens of a model 16,384 wide in float32 take half of it."""

MAX_SESSION_TOKENS = 2**24
"""More tokens than any model's context: keeps arithmetic on hostile numbers small."""

WIRE_SCALED = 64
"""Values of a hidden state that share a scale when it travels in 8 bits."""
