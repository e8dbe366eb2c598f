"""The speed of decoding, of the swarm beside transformers: greedy answers in one call or in several, turn by turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import LogitsProcessor, PreTrainedModel

from bench.shared.harness import Spread, in_turns, judged, show


@dataclass(frozen=True, slots=True)
class Ratio:
    """One line of the table: the median speed of both sides, and of their ratios turn by turn."""

    what: str
    dtype: str
    of: str
    tokens_per_second: float
    beside: str
    beside_tokens_per_second: float
    ratio: float
    worst: float
    goal: float


class Clock(LogitsProcessor):
    """Notes when each token's logits came."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.times.append(time.perf_counter())
        return scores


def decode(model: PreTrainedModel, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[float]:
    """Greedy answers to all prompts in one call; when each step's logits came."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    clock = Clock()
    model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=new_tokens,
        do_sample=False,
        pad_token_id=0,
        logits_processor=[clock],
    )
    return clock.times


def together(model: PreTrainedModel, prompts: Sequence[Sequence[int]], new_tokens: int) -> float:
    """Tokens per second of one call with all prompts."""
    times = decode(model, prompts, new_tokens)
    return len(prompts) * (len(times) - 1) / (times[-1] - times[0])


def apart(model: PreTrainedModel, prompts: Sequence[Sequence[int]], new_tokens: int) -> float:
    """Tokens per second of one call and thread for each prompt, while all of them decode."""
    times: list[list[float]] = [[] for _ in prompts]

    def run(index: int) -> None:
        times[index] = decode(model, prompts[index : index + 1], new_tokens)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    start, end = max(each[0] for each in times), min(each[-1] for each in times)
    return sum(start < moment <= end for each in times for moment in each) / (end - start)


@dataclass(frozen=True, slots=True)
class Case:
    """Two ways to write tokens, compared turn by turn."""

    what: str
    of: str
    run: Callable[[], float]
    beside: str
    run_beside: Callable[[], float]
    goal: float


def compare(cases: Sequence[Case], dtype: str, runs: int) -> list[Ratio]:
    """Run all cases in turn, ``runs`` times after a first that does not count."""
    ways = {case.of: case.run for case in cases} | {case.beside: case.run_beside for case in cases}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn, name in in_turns(ways, runs, f"{dtype}, "):
        speed = ways[name]()
        if turn:
            speeds[name].append(speed)
    found = []
    for case in cases:
        ours, theirs = speeds[case.of], speeds[case.beside]
        ratio = Spread.of_ratios(ours, theirs)
        found.append(
            Ratio(
                case.what,
                dtype,
                case.of,
                Spread.of(ours).median,
                case.beside,
                Spread.of(theirs).median,
                ratio.median,
                ratio.least,
                case.goal,
            )
        )
    return found


def show_ratios(ratios: Sequence[Ratio]) -> None:
    show(
        ratios,
        ("", lambda line: line.what),
        ("dtype", lambda line: line.dtype),
        ("tokens/s", lambda line: f"{line.tokens_per_second:.1f}"),
        ("beside", lambda line: line.beside),
        ("tokens/s", lambda line: f"{line.beside_tokens_per_second:.1f}"),
        ("ratio", lambda line: judged(f"{line.ratio:.2f}", line.ratio >= line.goal)),
        ("worst", lambda line: f"{line.worst:.2f}"),
        ("goal", lambda line: f"{line.goal:g}"),
    )
