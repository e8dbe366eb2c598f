"""Time to the first token of a chat's second turn, in a session of its own, against that of the first turn.

    python scripts/bench prefix [--dtype float32] [--runs 5] [--threads 2] [--out build/bench_prefix]

The model is a Llama of 100 million parameters, made here, on real node processes on loopback: one node, and a chain of
three. A first turn of 1,000 tokens is answered; the second turn is all of that and 20 tokens more. Each turn is a call
of its own, as from a stateless server: no cache is handed from one to the next. Once the second turn comes from the
client of the first, and once from another, which by default cannot reuse anything. A ratio is that of the two turns of
one conversation; each run has conversations of its own. Written: results.json and ratios.png.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer

from bench.shared.harness import Out, Results, Spread, in_turns, judged, show
from bench.shared.llama import make_llama, random_ids
from cli.generation import run_generation
from cli.sampling import Sampling
from cli.screen import Screen
from routing import Span
from swarm_node import AutoSwarmModelForCausalLM, SwarmModel
from swarm_node.local_swarm import LocalSwarm

FIRST_TOKENS = 1000
ANSWER_TOKENS = 32
NEW_TOKENS = 20
GOAL = 0.2
SAME = "same client"


@dataclass(frozen=True, slots=True)
class Turns:
    """Seconds to the first token in the two turns of each conversation, in order."""

    nodes: int
    second_by: str
    first: list[float]
    second: list[float]

    @property
    def reuses(self) -> bool:
        return self.second_by == SAME

    @property
    def ratios(self) -> list[float]:
        return [second / first for first, second in zip(self.first, self.second, strict=True)]

    @property
    def ratio(self) -> Spread:
        return Spread.of(self.ratios)


def turn(model: SwarmModel, prompt: Sequence[int], tokens: int) -> tuple[float, list[int]]:
    """Seconds to the first token of an answer to ``prompt``, and the answer."""
    sampling = Sampling(max_new_tokens=tokens, do_sample=False)
    answer = run_generation(model, prompt, None, sampling, Screen(None, (), show=False))
    return answer.first_token_seconds, answer.token_ids


def measure(clients: dict[str, SwarmModel], nodes: int, runs: int) -> list[Turns]:
    """Conversations of the first client, whose second turn comes from each of ``clients`` in turn."""
    first, *_ = clients.values()
    found = {name: Turns(nodes, name, [], []) for name in clients}
    for run, name in in_turns(clients, runs, f"{nodes} nodes, second by the "):
        seed = 1000 * nodes + 10 * run + list(clients).index(name)
        prompt = random_ids(FIRST_TOKENS, seed)
        before, answer = turn(first, prompt, ANSWER_TOKENS)
        after, _ = turn(clients[name], [*prompt, *answer, *random_ids(NEW_TOKENS, seed + 500_000)], 1)
        if run:
            found[name].first.append(before)
            found[name].second.append(after)
    return list(found.values())


def measure_all(model: Path, dtype: str, runs: int, threads: int) -> list[Turns]:
    """One node, then a chain of three; a swarm and two clients for each."""
    found: list[Turns] = []
    for spans in ([Span(0, 12)], [Span(0, 4), Span(4, 8), Span(8, 12)]):
        with LocalSwarm(str(model), ["--dtype", dtype, "--threads", str(threads)]) as swarm:
            swarm.start(spans)

            def connect(address: str = swarm.address) -> SwarmModel:
                return AutoSwarmModelForCausalLM.from_pretrained(str(model), initial_peers=[address], dtype=dtype)

            with connect() as same, connect() as other:
                found += measure({SAME: same, "other client": other}, len(spans), runs)
    return found


def main(
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    runs: Annotated[int, typer.Option(min=1, help="Conversations of each kind that count.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of every process.")] = 2,
    out: Out = Path("build/bench_prefix"),
) -> None:
    """Compare the two turns of a conversation."""
    torch.set_num_threads(threads)
    results = Results(
        out,
        dtype=dtype,
        threads=threads,
        runs=runs,
        first_tokens=FIRST_TOKENS,
        answer_tokens=ANSWER_TOKENS,
        new_tokens=NEW_TOKENS,
    )
    with TemporaryDirectory(prefix="bench-model-") as directory:
        found = measure_all(make_llama(Path(directory) / "llama", dtype), dtype, runs, threads)
    results.write(turns=[{**asdict(turns), "ratio": turns.ratio.median} for turns in found])
    show(
        found,
        ("nodes", lambda turns: f"{turns.nodes}"),
        ("second turn by", lambda turns: turns.second_by),
        ("first turn, s", lambda turns: f"{Spread.of(turns.first).median:.3f}"),
        ("second turn, s", lambda turns: f"{Spread.of(turns.second).median:.3f}"),
        ("ratio", _ratio),
        ("worst", lambda turns: f"{turns.ratio.most:.3f}"),
        ("goal", lambda turns: f"{GOAL}" if turns.reuses else ""),
    )
    with results.plot("ratios", (7, 3.5)) as axes:
        names = [f"{turns.nodes} {'node' if turns.nodes == 1 else 'nodes'}, {turns.second_by}" for turns in found]
        axes.barh(names, [turns.ratio.median for turns in found], color="tab:blue")
        for name, turns in zip(names, found, strict=True):
            axes.plot(turns.ratios, [name] * len(turns.ratios), "k.", markersize=4)
        axes.axvline(GOAL, color="tab:green", label="goal")
        axes.invert_yaxis()
        axes.set_xlabel("time to first token, second turn against first")
        axes.legend()


def _ratio(turns: Turns) -> str:
    text = f"{turns.ratio.median:.3f}"
    return judged(text, turns.ratio.median <= GOAL) if turns.reuses else text
