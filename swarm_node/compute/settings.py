"""Numbers that tune this room, each with its unit and the reason for its value."""

from __future__ import annotations

CACHE_FIRST_TOKENS = 64
"""Tokens that a session's cache is first made for; it doubles from there up to the reserved maximum."""

SELF_CHECK_TOLERANCE_EXACT = 1e-3
"""Largest relative difference of any token between the two cache paths in float32; a right path shows about 1e-6."""

SELF_CHECK_TOLERANCE_ROUGH = 0.05
"""The same for the median token in bfloat16 and float16, whose rounding alone shows up to 0.01."""

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

REPLAYED_TOKENS = 64
"""Longest step into which a session with recurrent states can be taken back: more than a client guesses at once. What
is left of it runs again with the next step, so it bounds too what a client can make a node compute for one token."""
