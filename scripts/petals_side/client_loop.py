"""The loop of a client process: it generates what the benchmark asks for, line by line.

It runs in both environments, so it needs nothing but torch and a model with transformers' ``generate``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any, TextIO

import torch


def open_answers() -> TextIO:
    """Standard output for answers alone: what libraries print goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def answer(model: Any, answers: TextIO) -> None:
    """Say that the model is ready, then answer requests until standard input ends.

    A request holds ``prompts`` (lists of token ids, all of one length), ``new_tokens``, and ``batch``: whether one call
    takes all prompts. Otherwise each has a thread of its own. The answer: when that started and ended, on the clock of
    time.monotonic, which all processes share, and the new tokens of each prompt.
    """
    print(json.dumps({"threads": torch.get_num_threads()}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        prompts, new_tokens = request["prompts"], request["new_tokens"]
        calls = [prompts] if request["batch"] else [[prompt] for prompt in prompts]
        with ThreadPoolExecutor(len(calls)) as pool:
            started = time.monotonic()
            texts = list(pool.map(_generate, repeat(model), calls, repeat(new_tokens)))
            ended = time.monotonic()
        tokens = [text for call in texts for text in call]
        print(json.dumps({"started": started, "ended": ended, "tokens": tokens}), file=answers)


def _generate(model: Any, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[list[int]]:
    output = model.generate(torch.tensor(prompts), max_new_tokens=new_tokens, do_sample=False)
    return output[:, len(prompts[0]) :].tolist()
