"""``swarm demo``: a whole swarm on this machine, for a first look."""

from __future__ import annotations

import os
import signal
import sys
import webbrowser
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.stderr import reported, tell
from routing import Span
from routing.errors import UsageError

if TYPE_CHECKING:
    from swarm_node.gateway import Models

PROMPT = "When an exception is raised"


def demo(
    prompt: Annotated[str, typer.Argument(help="What to continue.")] = PROMPT,
    nodes: Annotated[int, typer.Option(min=1, help="Node processes to start.")] = 3,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens to write.")] = 96,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Directory of a model, or its Hub id; default: a small one.")
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the swarm at a URL until Ctrl-C, with a page.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of that URL; 0 takes a free one.")] = 8000,
    debug: options.Debug = False,
) -> None:
    """Start a swarm of node processes on the bundled model, write some text through it, and end it."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _frame: sys.exit(128 + number))  # unwinds, and so ends the nodes
    with reported(debug):
        from cli.generation import joined, run_generation
        from cli.prompt import check_length, encode
        from cli.sampling import Sampling
        from cli.screen import Screen
        from swarm_node.client import describe_route
        from swarm_node.local_swarm import LocalSwarm
        from swarm_node.model import ModelSource

        path = model or str(files("swarm_node") / "demo_model")
        source = ModelSource.open(path)
        if nodes > source.blocks:
            raise UsageError(f"the model has {source.blocks} blocks: at most {source.blocks} nodes can share them")
        prompt_ids, tokenizer = encode(source, prompt)
        check_length(source, len(prompt_ids), max_new_tokens)
        sampling = Sampling(max_new_tokens=max_new_tokens, do_sample=True, temperature=0.7, top_p=0.9, seed=1)
        dtype = "auto" if model else "float32"
        with LocalSwarm(path, ("--threads", "1", "--dtype", dtype)) as swarm:
            print(f"Starting {nodes} nodes …", file=sys.stderr)
            for node in swarm.start(even_spans(source.blocks, nodes)):
                print(f"  blocks {node.span}: process {node.process.pid} at {node.address}", file=sys.stderr)
            if serve:
                _serve(path, swarm.address, dtype, port)
                return
            with joined(source, [swarm.address], dtype, timeout=30.0) as joint:
                print(f"\n{prompt}", end="", flush=True)
                sampling.plant()
                screen = Screen(tokenizer, show=True)
                generated = run_generation(joint, prompt_ids, tokenizer, sampling, screen)
            print(
                f"\nroute: {describe_route(generated.route)}\n{len(generated.token_ids)} tokens, "
                f"{generated.tokens_per_second:.1f} per second, first after {generated.first_token_seconds:.2f} s",
                file=sys.stderr,
            )


def _serve(model: str, address: str, dtype: str, port: int) -> None:
    from cli.serve import run_gateway
    from swarm_node.gateway import Keys

    opening = {"dtype": dtype, "timeout": 30.0, "notice": tell}
    run_gateway(("127.0.0.1", port), [model], [address], Keys([]), [], opening, _show)


def _show(url: str, models: Models) -> None:
    """Tell where the page is, and open it where there is a screen to open it on."""
    print(f"\nready at {url}/ (a page) and {url}/v1 (OpenAI's API); Ctrl-C ends it", flush=True)
    print(f"model: {', '.join(models.names())}", flush=True)
    if sys.stdout.isatty() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(url)


def even_spans(blocks: int, nodes: int) -> list[Span]:
    """The blocks cut into ``nodes`` spans that differ by at most one block."""
    bounds = [blocks * index // nodes for index in range(nodes + 1)]
    return [Span(start, end) for start, end in pairwise(bounds)]
