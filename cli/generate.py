"""``swarm generate``: text from a prompt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.stderr import reported
from routing.errors import UsageError

if TYPE_CHECKING:
    from cli.generation import Generated


def generate(
    prompt: Annotated[str | None, typer.Argument(help="What to continue.")] = None,
    *,
    model: options.ModelOrOnly = None,
    initial_peers: options.InitialPeers = None,
    token_ids: Annotated[
        str | None, typer.Option(metavar="1,2,3", help="The prompt as token ids, for a model without a tokenizer.")
    ] = None,
    max_new_tokens: options.MaxNewTokens = 128,
    do_sample: Annotated[
        bool | None, typer.Option("--do-sample/--greedy", help="Draw tokens, or take the likeliest.")
    ] = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from so many likeliest tokens.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(min=0.01, help="Above 1 discourages repeats.")] = None,
    num_beams: Annotated[int | None, typer.Option(min=1, help="Beams to search with.")] = None,
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
    """Continue PROMPT with a model that a swarm serves, word by word."""
    with reported(debug):
        peers = options.required_peers(initial_peers)
        if prompt is not None and token_ids is not None:
            raise UsageError("give a prompt or --token-ids, not both")

        import torch

        from cli.generation import Sampling, check_length, encode, joined, run_generation
        from cli.model_choice import chosen_source

        if threads is not None:
            torch.set_num_threads(threads)
        sampling = Sampling(
            max_new_tokens=max_new_tokens,
            do_sample=do_sample,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            repetition_penalty=repetition_penalty,
            num_beams=num_beams,
            seed=seed,
            ignore_eos=ignore_eos,
        )
        source = chosen_source(model, revision, peers)
        prompt_ids, tokenizer = encode(source, prompt, token_ids)
        check_length(source, len(prompt_ids), max_new_tokens)
        with joined(source, peers, dtype.value, timeout, wire_dtype.value, draft_model, device) as swarm_model:
            generated = run_generation(swarm_model, prompt_ids, tokenizer, sampling, show=not json_output)
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
