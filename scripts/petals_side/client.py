"""A client process: ``python -m petals_side.client PROJECT MODEL DTYPE [PEER]``, in that project's environment.

It opens the model as the project's users do and generates what the benchmark asks for, line by line. PROJECT is
``swarm``, ``petals``, ``transformers``, which has the whole model in this process, or ``http``, which asks the gateway
at the URL that PEER is. What all environments have is torch and a model with transformers' ``generate``; the rest is
imported where it is needed.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import repeat
from typing import Any, TextIO
from urllib.parse import urlsplit

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
    elif project == "http":
        yield Asking(model, *peers)
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


class Asking:
    """Completions of a gateway, with as much of ``generate`` as is used here."""

    def __init__(self, model: str, url: str) -> None:
        self._model = os.path.basename(model)
        self._address = urlsplit(url)

    def generate(self, prompts: torch.Tensor, max_new_tokens: int, do_sample: bool) -> torch.Tensor:
        """Greedy texts after ``prompts`` [rows, tokens], in one request, with them. Their words name tokens."""
        connection = HTTPConnection(self._address.netloc)
        body = {
            "model": self._model,
            "prompt": prompts.tolist(),
            "max_tokens": max_new_tokens,
            "temperature": 1 if do_sample else 0,
        }
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"{self._address.path}/completions", json.dumps(body), headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        tokens = [[int(token) for token in re.findall("w([0-9]+)", choice["text"])] for choice in answer["choices"]]
        return torch.cat([prompts, torch.tensor(tokens)], dim=1)


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
