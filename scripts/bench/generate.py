"""Tokens per second beside plain transformers on the same weights: one node, a chain of three, many sessions at once.

    python scripts/bench generate [--hybrid] [--dtype float32] [--runs 5] [--threads 2] [--out build/bench_generate]

The model is a Llama of 100 million parameters, or a hybrid of such a shape, made here. Every swarm is of real node
processes on loopback, of which the client, this process, uses what transformers uses: the same number of threads, and
only one of the two is at work at a time. Plain and swarm take turns; a ratio is the median over the turns. Speed is
that of decoding, while all sessions of a case are at it, a token a step: nothing is guessed ahead. Written:
results.json and ratios.png.
"""

from __future__ import annotations

import swarm_node  # noqa: F401 - as a program that uses it does: before torch, which then waits as swarm_node wants

# isort: split
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from transformers import AutoModelForCausalLM, PreTrainedModel

from bench.shared.decoding import Case, Ratio, apart, compare, show_ratios, together
from bench.shared.harness import Out, Results, Runs
from bench.shared.hybrid import make_hybrid
from bench.shared.llama import make_llama, random_ids
from routing import Span
from swarm_node.generate import AutoSwarmModelForCausalLM
from swarm_node.local_swarm import LocalSwarm

PROMPT_TOKENS = 128
MIXED_TOKENS = (16, 512)
"""Shortest and longest of prompts of mixed lengths."""


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


def main(
    dtype: Annotated[list[str] | None, typer.Option(help="May be repeated; default: float32 and bfloat16.")] = None,
    hybrid: Annotated[bool, typer.Option(help="A model of which three of four blocks keep states.")] = False,
    runs: Runs = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of every process.")] = 2,
    new_tokens: Annotated[int, typer.Option(min=8)] = 48,
    out: Out = Path("build/bench_generate"),
) -> None:
    """Compare the swarm with plain transformers."""
    torch.set_num_threads(threads)
    results = Results(out, threads=threads, runs=runs, new_tokens=new_tokens)
    ratios: list[Ratio] = []
    with TemporaryDirectory(prefix="bench-model-") as directory:
        for name in dtype or ("float32", "bfloat16"):
            model = (make_hybrid if hybrid else make_llama)(Path(directory) / name, name)
            ratios += measure(model, name, runs, threads, new_tokens)
            results.write(ratios=ratios)
    show_ratios(ratios)
    with results.plot("ratios", (8, 0.4 * len(ratios) + 1.5)) as axes:
        names = [f"{line.what}, {line.dtype}" for line in ratios]
        axes.barh(names, [line.ratio for line in ratios], color="tab:blue")
        axes.plot([line.goal for line in ratios], names, "k|", markersize=14, label="goal")
        axes.invert_yaxis()
        axes.set_xlabel("ratio of decoding speeds")
        axes.legend()
