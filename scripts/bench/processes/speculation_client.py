"""The client of the benchmark of guessing ahead, a process of its own so that it may be on a host of its own.

    python scripts/bench speculation_client SPEC.json ANSWERS.json

The first file holds a Spec; the second gets a list of Answers.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from transformers import set_seed
from transformers.generation.streamers import BaseStreamer

from routing import Span
from swarm_node.compute import Row
from swarm_node.compute.loading import load_span
from swarm_node.generate import AutoSwarmModelForCausalLM, SwarmModel
from swarm_node.model import ModelSource

STEPS, PAUSE_SECONDS = 16, 0.05
"""Single tokens timed at a time, and the pause before each."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, and what is known of its answer."""

    name: str
    token_ids: tuple[int, ...]
    sampled: bool
    """Tokens are drawn, from the same random numbers each time; else the likeliest are taken."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What is asked of which swarm."""

    model: Path
    initial_peer: str
    prompts: tuple[Prompt, ...]
    new_tokens: int
    runs: int
    """Turns that count; one before them does not."""
    threads: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What one answer took. Times are seconds for each token after the first."""

    prompt: str
    guessing: bool
    token_seconds: float
    away_seconds: float
    """Of these, between hidden states' leaving for the swarm and their coming back."""
    block_seconds: float
    """What all blocks compute for a token, measured in this process at the beginning of the same turn."""
    rounds: int
    """Round trips of the whole answer."""
    token_ids: tuple[int, ...]


SPEC = TypeAdapter(Spec)
ANSWERS = TypeAdapter(list[Answer])


class _Watch(BaseStreamer):
    """Notes when the first and the last token came."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


class _Blocks:
    """All blocks of the model in this process, to time them where no network is."""

    def __init__(self, source: ModelSource) -> None:
        self._blocks = load_span(source, Span(0, source.blocks), dtype=torch.float32)

    def seconds(self) -> float:
        """Of a token after a short text, with a pause before it as long as tokens of a far swarm have."""
        cache = self._blocks.new_cache(2 * STEPS)
        hidden = torch.randn(STEPS, self._blocks.hidden_size, generator=torch.Generator().manual_seed(0))
        self._blocks.step([Row(cache, STEPS)], hidden)
        times = []
        for _ in range(STEPS):
            time.sleep(PAUSE_SECONDS)
            started = time.perf_counter()
            self._blocks.step([Row(cache, 1)], hidden[:1])
            times.append(time.perf_counter() - started)
        cache.free()
        return statistics.median(times)


def answer(model: SwarmModel, prompt: Prompt, new_tokens: int, block_seconds: float) -> Answer:
    """One answer as the model is set."""
    set_seed(1)
    inputs, watch = torch.tensor([prompt.token_ids]), _Watch()
    cache: Any = model.new_cache(len(prompt.token_ids) + new_tokens)
    away: list[float] = []
    run = cache.run

    def timed_run(*arguments: Any) -> torch.Tensor:
        started = time.perf_counter()
        output: torch.Tensor = run(*arguments)
        away.append(time.perf_counter() - started)
        return output

    cache.run = timed_run
    output = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=prompt.sampled,
        pad_token_id=0,
        streamer=watch,
        past_key_values=cache,
        **({"top_k": 0} if prompt.sampled else {}),
    )
    cache.close()
    first, last = watch.times[1], watch.times[-1]  # the prompt comes before them
    return Answer(
        prompt=prompt.name,
        guessing=model.speculate,
        token_seconds=(last - first) / (new_tokens - 1),
        away_seconds=sum(away[1:]) / (new_tokens - 1),
        block_seconds=block_seconds,
        rounds=model.rounds(),
        token_ids=tuple(output[0, len(prompt.token_ids) :].tolist()),
    )


def main(spec_file: Path, answers_file: Path) -> None:
    """Ask for every answer with and without guesses in turn."""
    spec = SPEC.validate_json(spec_file.read_bytes())
    torch.set_num_threads(spec.threads)
    answers: list[Answer] = []
    blocks = _Blocks(ModelSource.open(str(spec.model)))
    with AutoSwarmModelForCausalLM.from_pretrained(
        str(spec.model), initial_peers=[spec.initial_peer], dtype="float32"
    ) as model:
        for turn in range(spec.runs + 1):
            block_seconds = blocks.seconds()
            for prompt in spec.prompts:
                for model.speculate in (False, True):
                    done = answer(model, prompt, spec.new_tokens, block_seconds)
                    if turn:
                        answers.append(done)
    answers_file.write_bytes(ANSWERS.dump_json(answers))
