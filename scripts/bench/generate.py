"""Tokens per second beside plain transformers on the same weights: one node, a chain of three, many sessions at once.

    python scripts/bench_generate.py [--dtype float32] [--runs 5] [--threads 2] [--out build/bench_generate]

The model is a Llama of 100 million parameters, made here. Every swarm is of real node processes on loopback, of which
the client, this process, uses what transformers uses: the same number of threads, and only one of the two is at work at
a time. Plain and swarm take turns; a ratio is the median over the turns. Speed is that of decoding, while all sessions
of a case are at it, a token a step: nothing is guessed ahead. Written: results.json and ratios.png.
"""

from __future__ import annotations

import swarm_node  # noqa: F401 - as a program that uses it does: before torch, which then waits as swarm_node wants

# isort: split
import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import matplotlib
import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, LogitsProcessor, PreTrainedModel

from bench_model import environment, make_llama, random_ids
from routing import Span
from swarm_node.generate import AutoSwarmModelForCausalLM
from swarm_node.local_swarm import LocalSwarm

PROMPT_TOKENS = 128
MIXED_TOKENS = (16, 512)
"""Shortest and longest of prompts of mixed lengths."""

console = Console()


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
    speeds: dict[str, list[float]] = {}
    found = []
    for turn in range(runs + 1):
        ways = {case.of: case.run for case in cases} | {case.beside: case.run_beside for case in cases}
        for name, run in ways.items():
            console.print(f"[dim]{dtype}, turn {turn}: {name}[/dim]")
            speed = run()
            if turn:
                speeds.setdefault(name, []).append(speed)
    for case in cases:
        ratios = [one / other for one, other in zip(speeds[case.of], speeds[case.beside], strict=True)]
        found.append(
            Ratio(
                case.what,
                dtype,
                case.of,
                statistics.median(speeds[case.of]),
                case.beside,
                statistics.median(speeds[case.beside]),
                statistics.median(ratios),
                min(ratios),
                case.goal,
            )
        )
    return found


def cases_of_one_node(plain: PreTrainedModel, swarm: PreTrainedModel, new_tokens: int) -> list[Case]:
    """One session, eight and sixteen, in one call and in one call each."""
    prompt = random_ids(PROMPT_TOKENS, 0)
    shortest, longest = MIXED_TOKENS

    def mixed(count: int) -> list[list[int]]:
        step = (longest - shortest) // (count - 1)
        return [random_ids(shortest + step * index, 1 + index) for index in range(count)]

    same = [random_ids(PROMPT_TOKENS, 100 + index) for index in range(8)]
    one = ("swarm, 1 session", lambda: together(swarm, [prompt], new_tokens))
    return [
        Case("1 session on 1 node", *one, "transformers", lambda: together(plain, [prompt], new_tokens), 1.15),
        Case("8 mixed, one call", "swarm, 8 mixed", lambda: together(swarm, mixed(8), new_tokens), *one, 4.0),
        Case("16 mixed, one call", "swarm, 16 mixed", lambda: together(swarm, mixed(16), new_tokens), *one, 6.0),
        Case("8 mixed, a call each", "swarm, 8 calls", lambda: apart(swarm, mixed(8), new_tokens), *one, 4.0),
        Case("16 mixed, a call each", "swarm, 16 calls", lambda: apart(swarm, mixed(16), new_tokens), *one, 6.0),
        Case("8 sessions, one call", "swarm, 8 sessions", lambda: together(swarm, same, new_tokens),
             "transformers, batch of 8", lambda: together(plain, same, new_tokens), 1.2),
    ]  # fmt: skip


def cases_of_a_chain(plain: PreTrainedModel, swarm: PreTrainedModel, new_tokens: int) -> list[Case]:
    """One session through three nodes."""
    prompt = random_ids(PROMPT_TOKENS, 0)
    return [
        Case("1 session on 3 nodes", "swarm of 3, 1 session", lambda: together(swarm, [prompt], new_tokens),
             "transformers", lambda: together(plain, [prompt], new_tokens), 0.9),
    ]  # fmt: skip


def measure(model: Path, dtype: str, runs: int, threads: int, new_tokens: int) -> list[Ratio]:
    """All cases in one dtype."""
    plain: Any = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
    layers = plain.config.num_hidden_layers
    third = layers // 3
    found = []
    for spans, cases in (
        ([Span(0, layers)], cases_of_one_node),
        ([Span(0, third), Span(third, 2 * third), Span(2 * third, layers)], cases_of_a_chain),
    ):
        with LocalSwarm(str(model), ["--dtype", dtype, "--threads", str(threads)]) as nodes:
            nodes.start(spans)
            with AutoSwarmModelForCausalLM.from_pretrained(
                str(model),
                initial_peers=[nodes.address],
                dtype=dtype,
                speculate=False,  # as the other side
            ) as swarm:
                found += compare(cases(plain, swarm, new_tokens), dtype, runs)
    return found


def show(ratios: Sequence[Ratio]) -> None:
    table = Table("", "dtype", "tokens/s", "beside", "tokens/s", "ratio", "worst", "goal")
    for line in ratios:
        colour = "green" if line.ratio >= line.goal else "red"
        table.add_row(
            line.what,
            line.dtype,
            f"{line.tokens_per_second:.1f}",
            line.beside,
            f"{line.beside_tokens_per_second:.1f}",
            f"[{colour}]{line.ratio:.2f}[/{colour}]",
            f"{line.worst:.2f}",
            f"{line.goal:g}",
        )
    console.print(table)


def plot(ratios: Sequence[Ratio], path: Path) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.4 * len(ratios) + 1.5), layout="constrained")
    names = [f"{line.what}, {line.dtype}" for line in ratios]
    axes.barh(names, [line.ratio for line in ratios], color="tab:blue")
    axes.plot([line.goal for line in ratios], names, "k|", markersize=14, label="goal")
    axes.invert_yaxis()
    axes.set_xlabel("ratio of decoding speeds")
    axes.legend()
    figure.savefig(path, dpi=150)


def main(
    dtype: Annotated[list[str] | None, typer.Option(help="May be repeated; default: float32 and bfloat16.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Turns that count.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of every process.")] = 2,
    new_tokens: Annotated[int, typer.Option(min=8)] = 48,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("build/bench_generate"),
) -> None:
    """Compare the swarm with plain transformers."""
    torch.set_num_threads(threads)
    setting = {**environment(), "threads": threads, "runs": runs, "new_tokens": new_tokens}
    console.print_json(data=setting)
    out.mkdir(parents=True, exist_ok=True)
    ratios: list[Ratio] = []
    with TemporaryDirectory(prefix="bench-model-") as directory:
        for name in dtype or ("float32", "bfloat16"):
            model = make_llama(Path(directory) / name, name)
            ratios += measure(model, name, runs, threads, new_tokens)
            results = {"environment": setting, "ratios": [asdict(line) for line in ratios]}
            (out / "results.json").write_text(json.dumps(results, indent=2))
    show(ratios)
    plot(ratios, out / "ratios.png")


if __name__ == "__main__":
    typer.run(main)
