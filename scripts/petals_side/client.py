"""A client process: ``python -m petals_side.client PROJECT MODEL DTYPE [INITIAL_PEER]``, in that project's environment.

It opens the model as the project's users do and generates what the benchmark asks for, line by line. PROJECT is
``swarm``, ``petals``, or ``transformers``, which has the whole model in this process. What all environments have is
torch and a model with transformers' ``generate``; the rest is imported where it is needed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from typing import Any, TextIO

import torch


@contextmanager
def opened(project: str, model: str, dtype: str, *peers: str) -> Iterator[Any]:
    """The model, ready to generate."""
    if project == "swarm":
        from swarm_node import AutoSwarmModelForCausalLM

        # One token a round trip, as Petals has it.
        with AutoSwarmModelForCausalLM.from_pretrained(
            model, initial_peers=peers, dtype=dtype, speculate=False
        ) as swarm:
            yield swarm
    elif project == "petals":
        from petals_side.petals_setup import DHT_PREFIX, prepare

        prepare()
        from petals import AutoDistributedModelForCausalLM  # type: ignore[import-not-found]

        yield AutoDistributedModelForCausalLM.from_pretrained(
            model, initial_peers=list(peers), dht_prefix=DHT_PREFIX, torch_dtype=getattr(torch, dtype)
        )
    else:
        from transformers import AutoModelForCausalLM

        yield AutoModelForCausalLM.from_pretrained(model, dtype=dtype)


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


def main(*asked: str) -> None:
    answers = open_answers()
    with opened(*asked) as model:
        answer(model, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
