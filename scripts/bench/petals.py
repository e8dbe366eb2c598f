"""This project beside Petals: the same model, prompts and machine, in one run.

    python scripts/bench petals [--dtype float32] [--rounds 3] [--petals-env FOLDER] [--out FOLDER]

A Llama of 30 million numbers is drawn and written once; both projects serve that directory on the loopback interface,
and every process computes with one thread. A round is transformers alone, a swarm of ours and a swarm of Petals, one
after the other and all anew: one node asked by one client, by eight as threads of one process, by eight processes and,
where there is one, by eight through a gateway's URL, then a chain of two nodes. Rounds alternate so that a machine that
grows slow or fast meets both.

Petals lives in an environment of its own, made where --petals-env says (the user's cache unless given) when it is
not there: 400 MB from the package index. Linux only. Written: petals.json with every figure, petals.png, and the logs
of all processes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import trio
import typer

from bench.shared.harness import commit, console, processor
from bench.shared.llama import make_tokenizer
from petals_side.children import open_children
from petals_side.installation import default_folder, petals_python
from petals_side.measuring import CLIENTS, PROMPTS, Load, measure, measure_transformers
from petals_side.model import BLOCK_PARAMETERS, BLOCKS, HIDDEN, PARAMETERS, VOCABULARY, draw_prompts, write_model
from petals_side.projects import open_transformers, petals, this_project
from petals_side.report import Round, compare, plot, table
from routing.errors import SwarmError, sole_error
from swarm_node.wire import token_bytes

SEED = 1
"""Of weights and prompts."""
PACKAGES = ("torch", "transformers", "hivemind", "numpy")


class Dtype(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"


def main(
    dtype: Annotated[
        Dtype, typer.Option(help="In which all compute; texts are the same in float32 only.")
    ] = Dtype.float32,
    rounds: Annotated[int, typer.Option(min=1, help="Each measures both once.")] = 3,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Length of every prompt.")] = 16,
    new_tokens: Annotated[int, typer.Option(min=2, help="Greedy, after every prompt.")] = 64,
    petals_env: Annotated[Path | None, typer.Option(help="Folder of Petals's environment; made if it is not.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write anew.")] = Path("build/bench_petals"),
) -> None:
    """Measure, print and write the results."""
    try:
        python = petals_python((petals_env or default_folder()).absolute())
        logs = out / "logs"
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir(parents=True)
        about = environment(python, dtype)
        for what, text in about.items():
            console.print(f"{what}: {text}")
        trio.run(run, python, dtype, rounds, prompt_tokens, new_tokens, about, out)
    except (SwarmError, BaseExceptionGroup) as error:
        cause = sole_error(error)
        if not isinstance(cause, SwarmError):
            raise
        console.print(f"[red]error:[/] {cause}")
        raise typer.Exit(cause.exit_code) from error


async def run(
    python: Path, dtype: Dtype, rounds: int, prompt_tokens: int, new_tokens: int, about: dict[str, Any], out: Path
) -> None:
    done: list[Round] = []
    with TemporaryDirectory(prefix="bench-petals-") as name:
        folder = Path(name)
        model = folder / "model"
        model.mkdir()
        write_model(model, SEED)
        make_tokenizer(model, VOCABULARY)
        prompts = draw_prompts(PROMPTS, prompt_tokens, SEED)
        with open_children(out / "logs") as children:
            ours = this_project(model, dtype, folder, children)
            theirs = petals(python, model, dtype, folder, children)
            for side in (ours, theirs):  # from then on its files are in memory and our node knows its speed
                async with side.open_node(f"0:{BLOCKS}"):
                    pass
            for number in range(rounds):
                started = time.monotonic()
                async with open_transformers(model, dtype, folder, children) as client:
                    alone, texts = await measure_transformers(client, prompts, new_tokens)
                load = Load(prompts, new_tokens, texts, BLOCKS * BLOCK_PARAMETERS * token_bytes(1, dtype.value))
                done.append(Round(alone, await measure(ours, load), await measure(theirs, load)))
                write(done, about, out)
                console.print(f"round {number + 1} of {rounds} took {time.monotonic() - started:.0f} s")
    show(done, out)


def show(rounds: Sequence[Round], out: Path) -> None:
    console.print(table(compare(rounds)))
    single, batch = (median(getattr(each.transformers, what) for each in rounds) for what in ("single", "batch"))
    console.print(f"transformers alone: {single:.1f} tokens/s, with a batch of {CLIENTS} {batch:.0f}")
    console.print(f"written to {out}")


def write(rounds: Sequence[Round], about: dict[str, Any], out: Path) -> None:
    results = {
        "environment": about,
        "table": [asdict(row) for row in compare(rounds)],
        "rounds": [asdict(each) for each in rounds],
    }
    (out / "petals.json").write_text(json.dumps(results, indent=2) + "\n")
    plot(rounds, out / "petals.png")


def environment(python: Path, dtype: Dtype) -> dict[str, Any]:
    """What the figures depend on. ``python``: Petals's."""
    names = (*PACKAGES, "petals")
    ask = f"from importlib.metadata import version; print(*map(version, {names!r}))"
    theirs = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    release = f"commit {commit()}" if commit() else f"release {version('swarm-node')}"
    ours = [release, f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)]
    return {
        "model": f"Llama of {PARAMETERS / 1e6:.1f}M {dtype}: hidden {HIDDEN}, {BLOCKS} blocks, vocabulary {VOCABULARY}",
        "machine": f"{processor()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "threads": "1 in every process",
        "swarm-node": ", ".join(ours),
        "Petals": ", ".join(f"{name} {release}" for name, release in zip(names, theirs, strict=True)),
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }
