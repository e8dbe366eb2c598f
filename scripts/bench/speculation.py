"""What guessing ahead saves where a token's round trip is long, and what it costs where it saves nothing.

    sudo .venv/bin/python scripts/bench speculation [--runs 5] [--new-tokens 64] [--out build/bench_speculation]

Three node processes hold a third of the blocks each. Client and nodes are on four hosts with 40 ms of round trip
between any two (namespaces of one machine, see testbed/wan.py; root only, left out without), and then all on loopback.
One prompt's greedy answer repeats itself and the prompt; another's tokens are drawn and do not. Each answer is asked
for with and without guesses in turn; a ratio is the median over the turns. Two models: the bundled one, which writes
sentences, and a Llama of 100 million random weights, which computes as long as a real one of that size.

The last line is what the way round the ring costs beside delays and computing. Written: results.json, speculation.png.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from bench import program
from bench.processes.speculation_client import ANSWERS, SPEC, Answer, Prompt, Spec
from bench.processes.tcp_echo import round_trip
from bench.shared.harness import Out, Results, Runs, Spread, console, show
from bench.shared.llama import make_llama, random_ids
from cli.demo import even_spans
from routing.errors import SwarmError
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
        command = program("speculation_client", asked, answered)
        if namespace := network.namespace(CLIENT):
            command = ("ip", "netns", "exec", namespace, *command)
        if subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode:
            raise SwarmError("the client failed: see above")
        return ANSWERS.validate_json(answered.read_bytes())


def results(model: str, network: str, answers: Sequence[Answer]) -> list[Result]:
    """A line for each prompt."""
    found = []
    for name in dict.fromkeys(answer.prompt for answer in answers):
        of_prompt = [answer for answer in answers if answer.prompt == name]
        plain, guessing = ([one for one in of_prompt if one.guessing is guesses] for guesses in (False, True))
        seconds = [[one.token_seconds for one in some] for some in (plain, guessing)]
        ratio = Spread.of_ratios(*seconds)
        found.append(
            Result(
                model=model,
                network=network,
                answer=name,
                plain=1 / Spread.of(seconds[0]).median,
                guessing=1 / Spread.of(seconds[1]).median,
                ratio=ratio.median,
                worst=ratio.least,
                tokens_per_round=Spread.of(len(one.token_ids) / one.rounds for one in guessing).median,
                same_text=len({one.token_ids for one in of_prompt}) == 1,
            )
        )
    return found


def ring(model: str, answers: Sequence[Answer], round_trip: float) -> Ring:
    """Of the answers without guesses on the wide area, where bare messages have this ``round_trip``."""
    plain = [answer for answer in answers if not answer.guessing]
    token = Spread.of(one.token_seconds for one in plain).median
    client = Spread.of(one.token_seconds - one.away_seconds for one in plain).median
    blocks = Spread.of(one.block_seconds for one in plain).median
    links = NODES + 1
    return Ring(model, token, links * ONE_WAY_SECONDS, links * round_trip / 2, blocks, client)


def prompts_of(source: ModelSource, text: str | None) -> tuple[Prompt, ...]:
    """One whose answer repeats, and one whose answer does not."""
    tokenizer = source.tokenizer() if text is not None else None
    ids = tuple(tokenizer(text)["input_ids"]) if tokenizer is not None else tuple(random_ids(16, 0) * 4)
    return Prompt(REPEATS, ids, sampled=False), Prompt(DRAWN, ids, sampled=True)


def main(
    model: Annotated[list[str], typer.Option(help="demo, 100M; may be repeated.")] = ["demo", "100M"],  # noqa: B006
    runs: Runs = 5,
    new_tokens: Annotated[int, typer.Option(min=16, help="Tokens of each answer.")] = 64,
    out: Out = Path("build/bench_speculation"),
) -> None:
    """Measure, print and write the results."""
    written = Results(out, threads=1, runs=runs, new_tokens=new_tokens)
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
                told = [{**asdict(one), "ratio": one.ratio, "ratio_to_bare": one.ratio_to_bare} for one in rings]
                written.write(results=found, rings=told)
    show(
        found,
        ("model", lambda line: line.model),
        ("network", lambda line: line.network),
        ("answer", lambda line: line.answer),
        ("tokens/s", lambda line: f"{line.plain:.1f}"),
        ("guessing", lambda line: f"{line.guessing:.1f}"),
        ("ratio", lambda line: f"{line.ratio:.2f}"),
        ("worst", lambda line: f"{line.worst:.2f}"),
        ("tokens/round", lambda line: f"{line.tokens_per_round:.2f}"),
        ("same text", lambda line: "yes" if line.same_text else "NO"),
    )
    for one in rings:
        console.print(
            f"{one.model}: a token takes {one.token * 1e3:.1f} ms; delays {one.delays * 1e3:.0f} ms "
            f"(bare TCP {one.network * 1e3:.1f} ms), blocks {one.blocks * 1e3:.1f} ms, "
            f"client {one.client * 1e3:.1f} ms: ratio {one.ratio:.3f} ({one.ratio_to_bare:.3f})"
        )
    with written.plot("speculation", (8, 0.5 * len(found) + 1.5)) as axes:
        names = [f"{line.model}, {line.network}, {line.answer}" for line in found]
        axes.barh(names, [line.ratio for line in found])
        axes.axvline(1.0, color="black", linewidth=1)
        axes.invert_yaxis()
        axes.set_xlabel("tokens per second with guesses, of those without")
