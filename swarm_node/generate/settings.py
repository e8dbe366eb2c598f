"""Numbers that tune this room, each with its unit and the reason for its value."""

from __future__ import annotations

CLIENT_TIMEOUT_SECONDS = 60.0
"""How long a step waits for missing blocks or a free place: time for an operator to restart a node."""

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

PROMPT_LOGITS_TOKENS = 256
"""Of a prompt whose tokens' probabilities are wanted, so many at once: logits of 150,000 words take 150 MiB then."""

ROWS_MAX = 256
"""Requests of one batch that have a thread to prefill or to wait in line at a time; others wait for that."""
