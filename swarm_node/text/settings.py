"""Numbers that tune the text room."""

from __future__ import annotations

MOST_UNFINISHED_TOKENS = 32
"""A character takes at most four; what has no end after so many is no character."""
MOST_UNFINISHED_CHARACTERS = 3
"""Of four bytes, three may have come; some decoders show each as a replacement character of its own."""
LONGEST_REASON = 300
"""Characters of what a library or a model's own files say in an error; the rest tells nobody more."""
