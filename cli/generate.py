"""``swarm generate``: text from a prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.prompt import read_prompt
from cli.stderr import reported
from routing.errors import UsageError

if TYPE_CHECKING:
    from cli.generation import Generated


def generate(
    prompt: Annotated[str | None, typer.Argument(help="What to continue; - reads standard input.")] = None,
    *,
    model: options.ModelOrOnly = None,
    initial_peers: options.InitialPeers = None,
    file: Annotated[Path | None, typer.Option(metavar="PATH", help="Read the prompt from a file.")] = None,
    token_ids: Annotated[
        str | None, typer.Option(metavar="1,2,3", help="The prompt as token ids, for a model without a tokenizer.")
    ] = None,
    system: options.System = None,
    stop: options.Stop = None,
    max_new_tokens: options.MaxNewTokens = 128,
    do_sample: Annotated[
        bool | None, typer.Option("--do-sample/--greedy", help="Draw tokens, or take the likeliest.")
    ] = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    min_p: options.MinP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    num_beams: Annotated[int | None, typer.Option(min=1, max=options.MOST_BEAMS, help="Beams to search with.")] = None,
    seed: options.Seed = None,
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="Go on after the end-of-text token.")] = False,
    json_output: options.Json = False,
    dtype: options.DtypeOption = options.Dtype.auto,
    wire_dtype: options.WireDtypeOption = options.WireDtype.auto,
    draft_model: options.DraftModel = None,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    timeout: options.Timeout = 60.0,
    revision: options.Revision = None,
    debug: options.Debug = False,
) -> None:
    """Continue PROMPT with a model that a swarm serves, character by character; with --system, answer it."""
    with reported(debug):
        peers = options.required_peers(initial_peers)
        if token_ids is not None and (prompt is not None or file is not None or system is not None):
            raise UsageError("--token-ids are the whole prompt; give no other, no --file and no --system with them")
        words = read_prompt(prompt, file) if token_ids is None else None

        from cli.early import joining_early
        from cli.imports import lean_imports

        with joining_early(model, peers, timeout, wire_dtype.value) as bridge:
            with lean_imports():
                import torch

                from cli.generation import joined, run_generation
                from cli.model_choice import chosen_source
                from cli.prompt import check_length, encode, ends_of
                from cli.sampling import Sampling
                from cli.screen import Screen

            if threads is not None:
                torch.set_num_threads(threads)
            sampling = Sampling(
                max_new_tokens=max_new_tokens,
                do_sample=do_sample,
                temperature=temperature,
                top_p=top_p,
                top_k=top_k,
                min_p=min_p,
                repetition_penalty=repetition_penalty,
                num_beams=num_beams,
                seed=seed,
                ignore_eos=ignore_eos,
            )
            stops = options.stops_of(stop)
            source = chosen_source(model, revision, peers)
            prompt_ids, tokenizer = encode(source, words, token_ids, system)
            check_length(source, len(prompt_ids), max_new_tokens)
            ends = ends_of(source, tokenizer, chat=system is not None)
            screen = Screen(tokenizer, stops, show=not json_output)
            with joined(
                source, peers, dtype.value, timeout, wire_dtype.value, draft_model, device, bridge
            ) as swarm_model:
                sampling.plant()
                generated = run_generation(swarm_model, prompt_ids, tokenizer, sampling, screen, stop=stops, ends=ends)
        if json_output:
            print(json.dumps(as_json(generated)))


def as_json(generated: Generated) -> dict[str, object]:
    """What --json prints."""
    return {
        "text": generated.text,
        "token_ids": generated.token_ids,
        "prompt_tokens": generated.prompt_tokens,
        "seconds": round(generated.seconds, 4),
        "first_token_seconds": round(generated.first_token_seconds, 4),
        "tokens_per_second": round(generated.tokens_per_second, 2),
        "tokens_per_round_trip": round(generated.tokens_per_round_trip, 2),
        "route": [{"peer": hop.node.peer_id, "start": hop.span.start, "end": hop.span.end} for hop in generated.route],
    }
