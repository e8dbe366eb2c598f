"""``swarm chat``: a conversation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from jinja2.exceptions import TemplateError

from cli import options
from cli.stderr import reported
from routing.errors import UsageError

if TYPE_CHECKING:
    from cli.generation import Sampling
    from swarm_node.generate import SwarmModel

CHAT_TOKENS = 2048
"""What a conversation reserves at first; it reserves more when it grows beyond."""


def chat(
    model: options.ModelOrOnly = None,
    initial_peers: options.InitialPeers = None,
    system: Annotated[str | None, typer.Option(help="How the model should behave.")] = None,
    max_new_tokens: options.MaxNewTokens = 512,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    dtype: options.DtypeOption = options.Dtype.auto,
    wire_dtype: options.WireDtypeOption = options.WireDtype.auto,
    draft_model: options.DraftModel = None,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    timeout: options.Timeout = 60.0,
    revision: options.Revision = None,
    debug: options.Debug = False,
) -> None:
    """Talk with a model that a swarm serves. An empty line or Ctrl-D ends the conversation."""
    with reported(debug):
        peers = options.required_peers(initial_peers)

        import torch

        from cli.generation import Sampling, joined
        from cli.model_choice import chosen_source

        if threads is not None:
            torch.set_num_threads(threads)
        source = chosen_source(model, revision, peers)
        tokenizer = source.tokenizer()
        if tokenizer is None or tokenizer.chat_template is None:
            raise UsageError(f"{source.name} has no chat template; use swarm generate")
        sampling = Sampling(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
        with joined(source, peers, dtype.value, timeout, wire_dtype.value, draft_model, device) as swarm_model:
            converse(swarm_model, tokenizer, sampling, system, source.context_length)


def converse(
    model: SwarmModel, tokenizer: Any, sampling: Sampling, system: str | None, context_length: int | None
) -> None:
    """Read turns from standard input and answer them; the cache of what two turns share stays in the swarm."""
    from cli.generation import run_generation

    messages = [{"role": "system", "content": system}] if system else []
    cache = model.new_cache(min(CHAT_TOKENS, context_length or CHAT_TOKENS))
    held: list[int] = []
    while line := _ask():
        messages.append({"role": "user", "content": line})
        ids = _encode(tokenizer, messages)
        # At least the last token must pass through the model again: its output is where the answer begins.
        cache.keep_first(min(_shared(held, ids), len(ids) - 1))
        answer = run_generation(model, ids, tokenizer, sampling, show=True, cache=cache)
        held = [*ids, *answer.token_ids][: cache.get_seq_length()]
        messages.append({"role": "assistant", "content": answer.text or ""})


def _encode(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    try:
        encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    except TemplateError as error:
        raise UsageError(f"the model's chat template refuses this conversation: {error}") from error
    ids: list[int] = encoded["input_ids"]
    return ids


def _shared(first: list[int], second: list[int]) -> int:
    """Length of the common beginning."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def _ask() -> str:
    """The next line of the user, empty at the end."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""
