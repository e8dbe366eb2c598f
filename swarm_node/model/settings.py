"""Numbers that tune this room, each with its unit and the reason for its value."""

from __future__ import annotations

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

OUTLINE_BYTES = 2**20
"""A config of so many bytes is not a plain one: they have some 1,000."""

PACKED_ROWS = 16
"""Rows that oneDNN orders a weight for: with 16, one row is as fast as with 1, and eight are faster."""

MKL_ROWS = 64
"""Rows that MKL orders a weight for: with 64 it is as fast as with any other number, from one row to hundreds."""

SAMPLE_WIDTH = 1024
SAMPLE_WEIGHTS = 4
SAMPLE_ROWS = (1, 8)
"""What both libraries are tried with: square weights, more of them than a core's cache holds, and rows."""

NAME_CHARACTERS = 96
"""Longest public name of a directory: as long as a name on the Hub may be."""

DESCRIPTION_BYTES = 2 * 2**30
"""Most bytes of config, tokenizer and index that are downloaded to know a model: the largest have 0.1 GB, and whoever
opens what a stranger names should not fill his disk."""

CARDS_TRIED = 3
"""Cards of one model that are opened until the files fit the fingerprint: each takes a look at the Hub, and more than a
few names for the same weights are lies."""
