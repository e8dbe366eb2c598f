"""Streams through ``swarm serve``: tokens per second of 8, 16 and 32 beside one, time to the first token, gaps between.

    python scripts/bench gateway [--nodes 3] [--runs 3] [--out build/bench_gateway]

A Llama of 100 million parameters, made here, in real node processes on loopback; the gateway is a process too, and
asked by HTTP, a connection for each stream, as a browser or an editor would. Speed is that of decoding, while all
streams are at it; tokens are drawn, so that hardly any can be guessed ahead. The first token of a short prompt is
compared with that of ``generate`` of the swarm's model in this process, and with that of the whole model in this
process; the three take turns. Written: results.json and streams.png.
"""

from __future__ import annotations

import swarm_node  # noqa: F401 - as a program that uses it does: before torch, which then waits as swarm_node wants

# isort: split
import json
import re
import sys
import threading
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from urllib.parse import urlsplit

import torch
import typer
from transformers import AutoModelForCausalLM, PreTrainedModel

from bench.shared.decoding import decode
from bench.shared.harness import Out, Results, Runs, Spread, in_turns, judged, show
from bench.shared.llama import make_llama, make_tokenizer, random_ids
from routing import Span
from routing.errors import SwarmError
from swarm_node import AutoSwarmModelForCausalLM
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import FreshProgram, LoggedProcess

STREAMS = (1, 8, 16, 32)
GOALS = {16: 5.5}
FIRST_TOKEN_GOAL = 1.3
FIRST_TOKENS = 5
"""So many of each kind in a turn."""
PROMPT_TOKENS = 16
READY = re.compile(r"^ready at (\S+)", re.MULTILINE)
READY_SECONDS = 90.0
ANSWER_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Line:
    """One number of streams: medians over the turns, seconds."""

    streams: int
    tokens_per_second: float
    times_one: float
    first_median: float
    first_worst: float
    """The 95th percentile."""
    gap_median: float
    gap_worst: float
    """The 95th percentile."""


@dataclass(slots=True)
class Stream:
    """When one answer was asked for, and when its pieces came."""

    asked: float
    pieces: list[float]


def ask(url: str, model: str, prompt: list[int], new_tokens: int) -> Stream:
    """One streamed completion, to its end. Raises SwarmError if it is not answered in full."""
    address = urlsplit(url)
    assert address.hostname is not None
    connection = HTTPConnection(address.hostname, address.port, timeout=ANSWER_SECONDS)
    body = {"model": model, "prompt": prompt, "max_tokens": new_tokens, "temperature": 1, "seed": 0, "stream": True}
    stream = Stream(time.perf_counter(), [])
    connection.request("POST", f"{address.path}/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise SwarmError(f"the gateway answered {response.status}: {response.read(500).decode(errors='replace')}")
    while (line := response.readline()) and not line.startswith(b"data: [DONE]"):
        if line.startswith(b"data: ") and json.loads(line[6:]).get("choices", [{}])[0].get("text"):
            stream.pieces.append(time.perf_counter())
    connection.close()
    if len(stream.pieces) < new_tokens:
        raise SwarmError(f"{len(stream.pieces)} of {new_tokens} tokens came")
    return stream


def ask_at_once(url: str, model: str, count: int, turn: int, new_tokens: int) -> list[Stream]:
    """So many streams, each with a prompt of its own."""
    streams: list[Stream] = []
    failures: list[Exception] = []

    def run(index: int) -> None:
        try:
            streams.append(ask(url, model, random_ids(PROMPT_TOKENS, 1000 * turn + 100 * count + index), new_tokens))
        except (OSError, SwarmError) as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return streams


def speed(streams: list[Stream]) -> float:
    """Tokens per second while all of them decode."""
    start, end = max(each.pieces[0] for each in streams), min(each.pieces[-1] for each in streams)
    return sum(start < moment <= end for each in streams for moment in each.pieces) / (end - start)


def line_of(count: int, turns: list[list[Stream]], ones: list[list[Stream]]) -> Line:
    firsts = [each.pieces[0] - each.asked for turn in turns for each in turn]
    gaps = [later - earlier for turn in turns for each in turn for earlier, later in pairwise(each.pieces)]
    return Line(
        count,
        median(map(speed, turns)),
        Spread.of_ratios(map(speed, turns), map(speed, ones)).median,
        median(firsts),
        quantiles(firsts, n=20)[-1] if len(firsts) > 1 else firsts[0],
        median(gaps),
        quantiles(gaps, n=20)[-1],
    )


@dataclass(slots=True)
class FirstTokens:
    """Seconds until the first token of a short prompt, of one after the other."""

    gateway: list[float]
    swarm: list[float]
    """``generate`` of the swarm's model."""
    whole: list[float]
    """``generate`` of the whole model."""

    def times(self, others: list[float]) -> float:
        """The gateway's, as a multiple of others'."""
        return Spread.of_ratios(self.gateway, others).median


def measure(
    url: str, model: Path, swarm: PreTrainedModel, whole: PreTrainedModel, runs: int, new_tokens: int
) -> tuple[list[Line], FirstTokens]:
    """A line for each number of streams, and what first tokens took."""
    turns: dict[int, list[list[Stream]]] = {count: [] for count in STREAMS}
    firsts = FirstTokens([], [], [])

    def first(turn: int, number: int) -> None:
        prompts = [random_ids(PROMPT_TOKENS, 7000 + 100 * turn + 10 * number + kind) for kind in range(3)]
        stream = ask(url, model.name, prompts[0], 2)
        took = [stream.pieces[0] - stream.asked]
        for generating, prompt in zip((swarm, whole), prompts[1:], strict=True):
            asked = time.perf_counter()
            took.append(decode(generating, [prompt], 1)[0] - asked)
        if turn:
            for seconds, of in zip(took, (firsts.gateway, firsts.swarm, firsts.whole), strict=True):
                of.append(seconds)

    for turn, case in in_turns((*STREAMS, "first token"), runs):
        if isinstance(case, int):
            turns[case].append(ask_at_once(url, model.name, case, turn, new_tokens))
        else:
            for number in range(FIRST_TOKENS):
                first(turn, number)
    return [line_of(count, turns[count][1:], turns[1][1:]) for count in STREAMS], firsts


def main(
    nodes: Annotated[int, typer.Option(min=1, help="Node processes that share the blocks.")] = 3,
    runs: Runs = 3,
    threads: Annotated[int, typer.Option(min=1, help="Of every process.")] = 2,
    new_tokens: Annotated[int, typer.Option(min=8)] = 48,
    out: Out = Path("build/bench_gateway"),
) -> None:
    """Measure streams through the gateway."""
    torch.set_num_threads(threads)
    results = Results(out, nodes=nodes, runs=runs, threads=threads, new_tokens=new_tokens)
    with TemporaryDirectory(prefix="bench-gateway-") as directory:
        model = make_tokenizer(make_llama(Path(directory) / "llama"))
        whole: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        blocks = whole.config.num_hidden_layers
        bounds = [blocks * index // nodes for index in range(nodes + 1)]
        with LocalSwarm(str(model), ["--dtype", "float32", "--threads", str(threads)]) as swarm:
            swarm.start([Span(start, end) for start, end in pairwise(bounds)])
            arguments = ["--model", str(model), "--initial-peers", swarm.address, "--port", "0", "--dtype", "float32",
                         "--threads", str(threads)]  # fmt: skip
            serve = FreshProgram((sys.executable, "-m", "cli.main", "serve"))
            gateway = LoggedProcess(serve, arguments, Path(directory) / "gateway")
            try:
                url = gateway.await_words(READY, READY_SECONDS, "the gateway")[1]
                with AutoSwarmModelForCausalLM.from_pretrained(
                    str(model), initial_peers=[swarm.address], dtype="float32"
                ) as ours:
                    lines, firsts = measure(url, model, ours, whole, runs, new_tokens)
            finally:
                gateway.stop()
    beside, alone = firsts.times(firsts.swarm), firsts.times(firsts.whole)
    results.write(lines=lines, firsts=firsts, goals=GOALS, first_token_goal=FIRST_TOKEN_GOAL)
    show(
        lines,
        ("streams", lambda line: str(line.streams)),
        ("tokens/s", lambda line: f"{line.tokens_per_second:.1f}"),
        ("× one", lambda line: judged(f"{line.times_one:.2f}", line.times_one >= GOALS.get(line.streams, 0))),
        ("first token", lambda line: f"{line.first_median * 1e3:.0f} ms"),
        ("95%", lambda line: f"{line.first_worst * 1e3:.0f} ms"),
        ("between tokens", lambda line: f"{line.gap_median * 1e3:.0f} ms"),
        ("95%", lambda line: f"{line.gap_worst * 1e3:.0f} ms"),
        title=f"first token: {judged(f'{beside:.2f}', beside <= FIRST_TOKEN_GOAL)} times generate's through the swarm, "
        f"{alone:.2f} times the whole model's here",
    )
    with results.plot("streams") as axes:
        axes.plot([line.streams for line in lines], [line.times_one for line in lines], "o-")
        axes.set(xlabel="streams", ylabel="tokens per second, as a multiple of one stream's")
