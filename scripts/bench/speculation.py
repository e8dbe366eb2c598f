"""What guessing ahead saves where a token's round trip is long, and what it costs where it saves nothing.

    sudo .venv/bin/python scripts/bench_speculation.py [--runs 5] [--new-tokens 64] [--out build/bench_speculation]

Three node processes hold a third of the blocks each. Client and nodes are on four hosts with 40 ms of round trip
between any two (namespaces of one machine, see testbed/wan.py; root only, left out without), and then all on loopback.
One prompt's greedy answer repeats itself and the prompt; another's tokens are drawn and do not. Each answer is asked
for with and without guesses in turn; a ratio is the median over the turns. Two models: the bundled one, which writes
sentences, and a Llama of 100 million random weights, which computes as long as a real one of that size.

The last line is what the way round the ring costs beside delays and computing. Written: results.json, speculation.png.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import matplotlib
import typer
from rich.console import Console
from rich.table import Table

from bare_echo import round_trip
from bench_model import environment, make_llama, random_ids
from cli.demo import even_spans
from routing.errors import SwarmError
from speculation_client import ANSWERS, SPEC, Answer, Prompt, Spec
from swarm_node.local_swarm import LocalSwarm
from swarm_node.model import ModelSource
from testbed import wan_namespaces
from testbed.bed import Loopback, WideArea
from testbed.node_processes import Network
from testbed.wan import Wan

NODES = 3
CLIENT = NODES
"""Its host comes after those of the nodes."""
ONE_WAY_SECONDS = 0.02
RATE_BITS = 100e6
REPEATS, DRAWN = "repeats", "does not repeat"
TEXT = "Return the number of lines in the given string.\nReturn the number of lines in the current file.\nReturn"

console = Console()


@dataclass(frozen=True, slots=True)
class Result:
    """One prompt on one network: medians over the turns."""

    model: str
    network: str
    answer: str
    plain: float
    """Tokens per second without guesses."""
    guessing: float
    ratio: float
    worst: float
    """Least ratio of a turn."""
    tokens_per_round: float
    same_text: bool
    """Every answer was the same, with and without guesses."""


@dataclass(frozen=True, slots=True)
class Ring:
    """Where the time of a token goes without guesses, in seconds."""

    model: str
    token: float
    delays: float
    """One-way delays, summed round the ring, as the emulated network is told them."""
    network: float
    """The same way as bare TCP messages take it: the emulated network's own work comes on top."""
    blocks: float
    """What all blocks compute."""
    client: float
    """What the client computes."""

    @property
    def ratio(self) -> float:
        """Of the time to what delays and computing take."""
        return self.token / (self.delays + self.blocks + self.client)

    @property
    def ratio_to_bare(self) -> float:
        """Of the time to what bare messages and computing take."""
        return self.token / (self.network + self.blocks + self.client)


def ask(network: Network, model: Path, prompts: tuple[Prompt, ...], new_tokens: int, runs: int) -> list[Answer]:
    """All answers on one network. Raises SwarmError with a process's own words."""
    spans = even_spans(ModelSource.open(str(model)).blocks, NODES)
    with (
        TemporaryDirectory(prefix="bench-speculation-") as directory,
        LocalSwarm(str(model), ("--threads", "1", "--dtype", "float32")) as swarm,
    ):
        for host, span in enumerate(spans):
            with ExitStack() as stack:
                if namespace := network.namespace(host):
                    stack.enter_context(wan_namespaces.inside(namespace))
                swarm.start([span], ("--host", network.address(host)))
        asked, answered = Path(directory) / "spec.json", Path(directory) / "answers.json"
        asked.write_bytes(SPEC.dump_json(Spec(model, swarm.address, prompts, new_tokens, runs, threads=1)))
        command = [sys.executable, str(Path(__file__).with_name("speculation_client.py")), str(asked), str(answered)]
        if namespace := network.namespace(CLIENT):
            command = ["ip", "netns", "exec", namespace, *command]
        if subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode:
            raise SwarmError("the client failed: see above")
        return ANSWERS.validate_json(answered.read_bytes())


def results(model: str, network: str, answers: Sequence[Answer]) -> list[Result]:
    """A line for each prompt."""
    found = []
    for name in dict.fromkeys(answer.prompt for answer in answers):
        of_prompt = [answer for answer in answers if answer.prompt == name]
        plain, guessing = ([one for one in of_prompt if one.guessing is guesses] for guesses in (False, True))
        ratios = [one.token_seconds / other.token_seconds for one, other in zip(plain, guessing, strict=True)]
        found.append(
            Result(
                model=model,
                network=network,
                answer=name,
                plain=1 / statistics.median(one.token_seconds for one in plain),
                guessing=1 / statistics.median(one.token_seconds for one in guessing),
                ratio=statistics.median(ratios),
                worst=min(ratios),
                tokens_per_round=statistics.median(len(one.token_ids) / one.rounds for one in guessing),
                same_text=len({one.token_ids for one in of_prompt}) == 1,
            )
        )
    return found


def ring(model: str, answers: Sequence[Answer], round_trip: float) -> Ring:
    """Of the answers without guesses on the wide area, where bare messages have this ``round_trip``."""
    plain = [answer for answer in answers if not answer.guessing]
    token = statistics.median(one.token_seconds for one in plain)
    client = statistics.median(one.token_seconds - one.away_seconds for one in plain)
    blocks = statistics.median(one.block_seconds for one in plain)
    links = NODES + 1
    return Ring(model, token, links * ONE_WAY_SECONDS, links * round_trip / 2, blocks, client)


def prompts_of(source: ModelSource, text: str | None) -> tuple[Prompt, ...]:
    """One whose answer repeats, and one whose answer does not."""
    tokenizer = source.tokenizer() if text is not None else None
    ids = tuple(tokenizer(text)["input_ids"]) if tokenizer is not None else tuple(random_ids(16, 0) * 4)
    return Prompt(REPEATS, ids, sampled=False), Prompt(DRAWN, ids, sampled=True)


def show(found: Sequence[Result], rings: Sequence[Ring]) -> None:
    table = Table("model", "network", "answer", "tokens/s", "guessing", "ratio", "worst", "tokens/round", "same text")
    for line in found:
        table.add_row(
            line.model,
            line.network,
            line.answer,
            f"{line.plain:.1f}",
            f"{line.guessing:.1f}",
            f"{line.ratio:.2f}",
            f"{line.worst:.2f}",
            f"{line.tokens_per_round:.2f}",
            "yes" if line.same_text else "NO",
        )
    console.print(table)
    for one in rings:
        console.print(
            f"{one.model}: a token takes {one.token * 1e3:.1f} ms; delays {one.delays * 1e3:.0f} ms "
            f"(bare TCP {one.network * 1e3:.1f} ms), blocks {one.blocks * 1e3:.1f} ms, "
            f"client {one.client * 1e3:.1f} ms: ratio {one.ratio:.3f} ({one.ratio_to_bare:.3f})"
        )


def plot(found: Sequence[Result], path: Path) -> None:
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(found) + 1.5), layout="constrained")
    names = [f"{line.model}, {line.network}, {line.answer}" for line in found]
    axes.barh(names, [line.ratio for line in found])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("tokens per second with guesses, of those without")
    figure.savefig(path, dpi=150)


def main(
    model: Annotated[list[str], typer.Option(help="demo, 100M; may be repeated.")] = ["demo", "100M"],  # noqa: B006
    runs: Annotated[int, typer.Option(min=1, help="Turns that count.")] = 5,
    new_tokens: Annotated[int, typer.Option(min=16, help="Tokens of each answer.")] = 64,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("build/bench_speculation"),
) -> None:
    """Measure, print and write the results."""
    out.mkdir(parents=True, exist_ok=True)
    setting = {**environment(), "threads": 1, "runs": runs, "new_tokens": new_tokens}
    console.print_json(data=setting)
    found: list[Result] = []
    rings: list[Ring] = []
    bare = 0.0
    with TemporaryDirectory(prefix="bench-model-") as directory, ExitStack() as stack:
        networks: dict[str, Network] = {"loopback": Loopback()}
        if lacking := wan_namespaces.missing():
            console.print(f"no wide area: {lacking}")
        else:
            delays = [[ONE_WAY_SECONDS * (row != column) for column in range(NODES + 1)] for row in range(NODES + 1)]
            wan = stack.enter_context(Wan(NODES + 1, delays, RATE_BITS, 0.0, prefix="benchspec"))
            networks = {"40 ms": WideArea(wan), **networks}
            bare = round_trip(wan.command(CLIENT, []), wan.command(0, []), wan.address(0))
        for name in model:
            path = Path(str(files("swarm_node") / "demo_model")) if name == "demo" else Path(directory) / name
            if name != "demo":
                make_llama(path)
            prompts = prompts_of(ModelSource.open(str(path)), TEXT if name == "demo" else None)
            for kind, network in networks.items():
                console.print(f"[dim]{name}, {kind}[/dim]")
                answers = ask(network, path, prompts, new_tokens, runs)
                found += results(name, kind, answers)
                if kind != "loopback":
                    rings.append(ring(name, answers, bare))
                written = {
                    "environment": setting,
                    "results": [asdict(line) for line in found],
                    "rings": [{**asdict(one), "ratio": one.ratio, "ratio_to_bare": one.ratio_to_bare} for one in rings],
                }
                (out / "results.json").write_text(json.dumps(written, indent=2))
    show(found, rings)
    plot(found, out / "speculation.png")


if __name__ == "__main__":
    typer.run(main)
