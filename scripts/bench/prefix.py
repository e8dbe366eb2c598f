"""Time to the first token of a chat's second turn, in a session of its own, against that of the first turn.

    python scripts/bench_prefix.py [--dtype float32] [--runs 5] [--threads 2] [--out build/bench_prefix]

The model is a Llama of 100 million parameters, made here, on real node processes on loopback: one node, and a chain of
three. A first turn of 1,000 tokens is answered; the second turn is all of that and 20 tokens more. Each turn is a call
of its own, as from a stateless server: no cache is handed from one to the next. Once the second turn comes from the
client of the first, and once from another, which by default cannot reuse anything. A ratio is that of the two turns of
one conversation; each run has conversations of its own. Written: results.json and ratios.png.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import matplotlib
import torch
import typer
from rich.console import Console
from rich.table import Table

from bench_model import environment, make_llama, random_ids
from cli.generation import Sampling, run_generation
from routing import Span
from swarm_node import AutoSwarmModelForCausalLM, SwarmModel
from swarm_node.local_swarm import LocalSwarm

FIRST_TOKENS = 1000
ANSWER_TOKENS = 32
NEW_TOKENS = 20
GOAL = 0.2

console = Console()


@dataclass(frozen=True, slots=True)
class Turns:
    """Seconds to the first token in the two turns of each conversation, in order."""

    nodes: int
    second_by: str
    first: list[float]
    second: list[float]

    @property
    def ratios(self) -> list[float]:
        return [second / first for first, second in zip(self.first, self.second, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def told(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "ratio": self.ratio}


def turn(model: SwarmModel, prompt: Sequence[int], tokens: int) -> tuple[float, list[int]]:
    """Seconds to the first token of an answer to ``prompt``, and the answer."""
    sampling = Sampling(max_new_tokens=tokens, do_sample=False)
    answer = run_generation(model, prompt, None, sampling, show=False)
    return answer.first_token_seconds, answer.token_ids


def measure(clients: dict[str, SwarmModel], nodes: int, runs: int) -> list[Turns]:
    """Conversations of the first client, whose second turn comes from each of ``clients`` in turn."""
    first, *_ = clients.values()
    found = [Turns(nodes, name, [], []) for name in clients]
    for run in range(runs + 1):
        for case, (name, second) in enumerate(clients.items()):
            console.print(f"[dim]{nodes} nodes, run {run}: second turn by the {name}[/dim]")
            seed = 1000 * nodes + 10 * run + case
            prompt = random_ids(FIRST_TOKENS, seed)
            before, answer = turn(first, prompt, ANSWER_TOKENS)
            after, _ = turn(second, [*prompt, *answer, *random_ids(NEW_TOKENS, seed + 500_000)], 1)
            if run:  # the first warms everything up
                found[case].first.append(before)
                found[case].second.append(after)
    return found


def measure_all(model: Path, dtype: str, runs: int, threads: int) -> list[Turns]:
    """One node, then a chain of three; a swarm and two clients for each."""
    found: list[Turns] = []
    for spans in ([Span(0, 12)], [Span(0, 4), Span(4, 8), Span(8, 12)]):
        with LocalSwarm(str(model), ["--dtype", dtype, "--threads", str(threads)]) as swarm:
            swarm.start(spans)

            def connect(address: str = swarm.address) -> SwarmModel:
                return AutoSwarmModelForCausalLM.from_pretrained(str(model), initial_peers=[address], dtype=dtype)

            with connect() as same, connect() as other:
                found += measure({"same client": same, "other client": other}, len(spans), runs)
    return found


def show(found: Sequence[Turns]) -> None:
    table = Table("nodes", "second turn by", "first turn, s", "second turn, s", "ratio", "worst", "goal")
    for turns in found:
        reuses = turns.second_by == "same client"
        colour = ("green" if turns.ratio <= GOAL else "red") if reuses else "default"
        table.add_row(
            str(turns.nodes),
            turns.second_by,
            f"{statistics.median(turns.first):.3f}",
            f"{statistics.median(turns.second):.3f}",
            f"[{colour}]{turns.ratio:.3f}[/{colour}]",
            f"{max(turns.ratios):.3f}",
            f"{GOAL}" if reuses else "",
        )
    console.print(table)


def plot(found: Sequence[Turns], path: Path) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    names = [f"{turns.nodes} {'node' if turns.nodes == 1 else 'nodes'}, {turns.second_by}" for turns in found]
    axes.barh(names, [turns.ratio for turns in found], color="tab:blue")
    for name, turns in zip(names, found, strict=True):
        axes.plot(turns.ratios, [name] * len(turns.ratios), "k.", markersize=4)
    axes.axvline(GOAL, color="tab:green", label="goal")
    axes.invert_yaxis()
    axes.set_xlabel("time to first token, second turn against first")
    axes.legend()
    figure.savefig(path, dpi=150)


def main(
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    runs: Annotated[int, typer.Option(min=1, help="Conversations of each kind that count.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of every process.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("build/bench_prefix"),
) -> None:
    """Compare the two turns of a conversation."""
    torch.set_num_threads(threads)
    setting = {**environment(), "dtype": dtype, "threads": threads, "runs": runs}
    setting |= {"first_tokens": FIRST_TOKENS, "answer_tokens": ANSWER_TOKENS, "new_tokens": NEW_TOKENS}
    console.print_json(data=setting)
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="bench-model-") as directory:
        found = measure_all(make_llama(Path(directory) / "llama", dtype), dtype, runs, threads)
    results = {"environment": setting, "turns": [turns.told() for turns in found]}
    (out / "results.json").write_text(json.dumps(results, indent=2))
    show(found)
    plot(found, out / "ratios.png")


if __name__ == "__main__":
    typer.run(main)
