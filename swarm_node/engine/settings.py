"""Numbers that tune this room, each with its unit and the reason for its value."""

from __future__ import annotations

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

MEASURE_SECONDS = 0.5
"""Time given to each of the two measurements of a span's speed."""

MEASURE_HISTORY_TOKENS = 128
"""Tokens in the cache before decode steps are measured."""

PREFIXES_MAX = 256
"""Sessions whose beginnings a node keeps: as many are looked through whenever a session opens, in about 0.5 ms."""

SPEED_LIFE_SECONDS = 24 * 3600.0
"""So long a measured speed of this device with this model is taken for its present one."""

TALLIED_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
TALLIED_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Bounds between which batches are counted, by their time and by their steps: a GPU's decode is at the lower end, a
slow processor's prompt at the upper."""
