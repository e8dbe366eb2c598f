"""Numbers that tune the text room."""

from __future__ import annotations

MOST_UNFINISHED_TOKENS = 32
"""A character takes at most four; what has no end after so many is no character."""
MOST_UNFINISHED_CHARACTERS = 3
"""Of four bytes, three may have come; some decoders show each as a replacement character of its own."""
LONGEST_REASON = 300
"""Characters of what a library or a model's own files say in an error; the rest tells nobody more."""
DEEPEST_SCHEMA = 64
"""Levels of a JSON schema; those that people write have ten."""
LONGEST_SCHEMA = 100_000
"""Bytes of a JSON schema; such a one takes some seconds to compile."""
LONGEST_SPACE = 4
"""Characters between a thought and what it was about; models write two new lines at most."""
MOST_GRAMMARS = 64
"""Compiled ones that are kept, some megabytes each at worst; clients send the same schema again and again."""
MOST_VOCABULARIES = 4
"""Tokenizers that grammars were made for, some ten megabytes each."""

MOST_ITEMS = 20_000
"""Ways to go on that a grammar follows at one place of an answer: some 4,000 properties of which none is required. Each
costs time at every token, up to some 20 ms."""

CHARACTERS_LOST = 4
"""Characters of a text for one of its tokens: some tokenizers make one of several, of accents or of spaces."""
