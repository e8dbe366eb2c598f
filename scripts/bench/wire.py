"""What it changes if hidden states travel rounded: the next token's distribution beside that of plain transformers.

    python scripts/bench wire [--model DIRECTORY] [--out build/bench_wire]

Computed in float32 on the documentation of Python's builtins, which the bundled model was made for. Hidden states are
rounded as on their way from the client to the first hop, between hops, and from the last hop back. Written:
results.json.
"""

from __future__ import annotations

import builtins
import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as functional
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.shared.harness import Out, Results, console, show
from cli.demo import even_spans
from swarm_node.wire import WireDtype, token_bytes
from swarm_node.wire.dtypes import decode, encode

CHUNK_TOKENS = 256
WIRES: tuple[WireDtype, ...] = ("bfloat16", "float16", "int8")


@dataclass(frozen=True, slots=True)
class Loss:
    """What a format and a number of hops change."""

    wire: WireDtype
    hops: int
    bytes_per_token: int
    divergence: float
    """Kullback-Leibler divergence from the distribution of plain transformers, mean over positions, in nats."""
    divergence_99: float
    """Its 99th percentile."""
    same_choice: float
    """Share of positions at which the likeliest token stays the same."""
    perplexity: float
    """Over that of plain transformers."""


def texts(tokenizer: Any) -> list[torch.Tensor]:
    """Token ids [1, CHUNK_TOKENS], one after the other, of the documentation of all builtins."""
    documented = (inspect.getdoc(getattr(builtins, name)) for name in sorted(dir(builtins)))
    ids = tokenizer("\n\n".join(filter(None, documented)), return_tensors="pt")["input_ids"]
    return [part for part in ids.split(CHUNK_TOKENS, dim=1) if part.shape[1] == CHUNK_TOKENS]


@contextmanager
def rounded(layers: Sequence[Any], hops: int, wire: WireDtype) -> Iterator[None]:
    """Inside, what enters the first block of each hop and what leaves the last block has travelled."""

    def travelled(hidden: torch.Tensor) -> torch.Tensor:
        states = hidden[0]
        return decode(encode(states, wire), len(states), states.shape[1], wire)[None].to(hidden.dtype)

    def entering(_layer: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return travelled(arguments[0]), *arguments[1:]

    def leaving(_layer: Any, _arguments: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        return travelled(output)

    with ExitStack() as hooks:
        for span in even_spans(len(layers), hops):
            hooks.callback(layers[span.start].register_forward_pre_hook(entering).remove)
        hooks.callback(layers[-1].register_forward_hook(leaving).remove)
        yield


@torch.inference_mode()
def distributions(model: Any, chunks: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Log probabilities [tokens, vocabulary] of each chunk's next tokens."""
    return [functional.log_softmax(model(chunk).logits[0].float(), dim=-1) for chunk in chunks]


def surprise(chunks: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> float:
    """Mean negative log probability of the text."""
    told = [-each[:-1].gather(1, chunk[0, 1:, None]) for chunk, each in zip(chunks, found, strict=True)]
    return torch.cat(told).mean().item()


def compare(
    model: Any, chunks: Sequence[torch.Tensor], plain: Sequence[torch.Tensor], hops: int, wire: WireDtype
) -> Loss:
    """``plain``: the distributions of the model as it is."""
    with rounded(model.model.layers, hops, wire):
        found = distributions(model, chunks)
    one, other = torch.cat(list(plain)), torch.cat(found)
    divergence = (one.exp() * (one - other)).sum(dim=-1)
    return Loss(
        wire,
        hops,
        token_bytes(model.config.hidden_size, wire),
        divergence.mean().item(),
        divergence.quantile(0.99).item(),
        (one.argmax(-1) == other.argmax(-1)).float().mean().item(),
        math.exp(surprise(chunks, found) - surprise(chunks, plain)),
    )


def main(
    model: Annotated[Path | None, typer.Option(help="Directory of a model with a tokenizer; default: bundled.")] = None,
    out: Out = Path("build/bench_wire"),
) -> None:
    """Compare the formats in which hidden states travel."""
    results = Results(out)
    with as_file(files("swarm_node") / "demo_model") as bundled:
        directory = model or bundled
        loaded: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        chunks = texts(AutoTokenizer.from_pretrained(directory))
    console.print(f"{len(chunks)} texts of {CHUNK_TOKENS} tokens")
    most = len(loaded.model.layers)
    plain = distributions(loaded, chunks)
    losses = [compare(loaded, chunks, plain, hops, wire) for wire in WIRES for hops in sorted({1, min(3, most), most})]
    show(
        losses,
        ("format", lambda loss: loss.wire),
        ("hops", lambda loss: f"{loss.hops}"),
        (
            "bytes a token",
            lambda loss: f"{loss.bytes_per_token} of {token_bytes(loaded.config.hidden_size, 'float32')}",
        ),
        ("divergence", lambda loss: f"{loss.divergence:.2e}"),
        ("99th", lambda loss: f"{loss.divergence_99:.2e}"),
        ("same choice", lambda loss: f"{loss.same_choice:.2%}"),
        ("perplexity", lambda loss: f"{loss.perplexity:.5f}"),
    )
    results.write(losses=losses)
