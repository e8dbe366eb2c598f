"""What a GPU makes of our blocks, beside transformers with the same weights on it.

    python scripts/bench gpu [--shape 8b] [--layers 8] [--dtype bfloat16] [--out build/bench_gpu]

The model is a Llama of that shape and so many blocks, with random weights made on the GPU. First steps of the blocks
alone: a decode step adds one token to each of several sessions of one length, and both sides get hidden states on the
CPU and give them back there. The floor is what the GPU needs to read the weights and the cache once, at the speed at
which it copies. Then tokens per second of generate: of transformers, and of a client whose own part of the model is on
the GPU too and whose blocks are in a node process on loopback. Written: results.json.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from transformers import AutoModelForCausalLM, DynamicCache

from bench.shared.decoding import Case, Ratio, compare, show_ratios, together
from bench.shared.harness import Out, Results, console, show
from bench.shared.llama import make_llama, random_ids
from routing import Span
from swarm_node.compute import Row
from swarm_node.compute.loading import load_span
from swarm_node.compute.span import BlockSpan
from swarm_node.engine.speed import median_seconds
from swarm_node.generate import AutoSwarmModelForCausalLM
from swarm_node.local_swarm import LocalSwarm
from swarm_node.model import ModelSource, Quant

SHAPES: dict[str, dict[str, int]] = {
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 32, "num_key_value_heads": 8},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8},
}
ROWS = (1, 4, 16, 64)
LENGTHS = (128, 2048)
PROMPT_TOKENS = 2048
GENERATED = (1, 16)
PROMPT_TOKENS_GENERATED = 128
NEW_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one kind of step through all blocks, in milliseconds."""

    what: str
    weights: str
    swarm: float
    transformers: float | None
    floor: float


def median_ms(run: Callable[[], object]) -> float:
    return 1000 * median_seconds(run)


def copy_speed(device: str) -> float:
    """Bytes per second, read and written ones counted, of a large copy on the GPU."""
    source = torch.randint(0, 100, (2**28,), dtype=torch.int32, device=device)
    target = torch.empty_like(source)

    def run() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    return 2 * source.nbytes / (median_ms(run) / 1000)


class Swarm:
    """Sessions of one length on a span."""

    def __init__(self, blocks: BlockSpan, rows: int, length: int) -> None:
        self.blocks = blocks
        self.length = length
        self.caches = [blocks.new_cache(length + 1) for _ in range(rows)]
        for cache in self.caches:
            blocks.step([Row(cache, length)], torch.randn(length, blocks.hidden_size))

    def decode(self, hidden: torch.Tensor) -> torch.Tensor:
        for cache in self.caches:
            cache.roll_back(self.length)
        return self.blocks.step([Row(cache, 1) for cache in self.caches], hidden).cpu()


class Plain:
    """The same in transformers: a batch."""

    def __init__(self, model: Any, rows: int, length: int, dtype: torch.dtype, device: str) -> None:
        self.model, self.dtype, self.device = model, dtype, device
        self.length = length
        self.cache = DynamicCache(config=model.config)
        hidden = torch.randn(1, length, model.config.hidden_size, dtype=dtype, device=device)
        self.model.model(inputs_embeds=hidden, past_key_values=self.cache, use_cache=True)
        self.cache.batch_repeat_interleave(rows)

    def decode(self, hidden: torch.Tensor) -> torch.Tensor:
        self.cache.crop(self.length - self.cache.get_seq_length())
        embedded = hidden.to(self.device, self.dtype)[:, None]
        return self.model.model(
            inputs_embeds=embedded, past_key_values=self.cache, use_cache=True
        ).last_hidden_state.cpu()


def prefill(blocks: BlockSpan, prompt: torch.Tensor) -> None:
    blocks.step([Row(blocks.new_cache(PROMPT_TOKENS), PROMPT_TOKENS)], prompt).cpu()


def prefill_plain(model: Any, prompt: torch.Tensor, device: str) -> None:
    model.model(inputs_embeds=prompt.to(device)[None], use_cache=True).last_hidden_state.cpu()


@torch.inference_mode()
def measure(directory: Path, layers: int, dtype: torch.dtype, device: str) -> list[Timing]:
    """Every case; transformers only with plain weights."""
    source = ModelSource.open(str(directory))
    speed = copy_speed(device)
    found = []
    for quant in Quant:
        blocks = load_span(source, Span(0, layers), dtype=dtype, quant=quant, device=device)
        plain: Any = None
        if quant is Quant.NONE:
            plain = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).to(device)
        footprint = source.footprint(dtype, quant)
        for length in LENGTHS:
            for rows in ROWS if quant is Quant.NONE else ROWS[:3]:
                hidden = torch.randn(rows, source.hidden_size, dtype=dtype)
                ours = median_ms(partial(Swarm(blocks, rows, length).decode, hidden))
                theirs = None
                if plain is not None:
                    theirs = median_ms(partial(Plain(plain, rows, length, dtype, device).decode, hidden))
                read = layers * (footprint.block_bytes + rows * length * footprint.token_bytes)
                found.append(Timing(f"{rows} × {length}", quant.value, ours, theirs, 1000 * read / speed))
                console.print(found[-1])
        prompt = torch.randn(PROMPT_TOKENS, source.hidden_size, dtype=dtype)
        ours = median_ms(partial(prefill, blocks, prompt))
        theirs = median_ms(partial(prefill_plain, plain, prompt, device)) if plain is not None else None
        found.append(Timing(f"prompt of {PROMPT_TOKENS}", quant.value, ours, theirs, 0.0))
        console.print(found[-1])
    return found


def generate(directory: Path, layers: int, dtype: str, device: str) -> list[Ratio]:
    """One session, and sixteen in one call."""
    plain: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=getattr(torch, dtype)).to(device)
    with LocalSwarm(str(directory), ["--dtype", dtype, "--device", device, "--memory", "8GiB"]) as nodes:
        nodes.start([Span(0, layers)])
        with AutoSwarmModelForCausalLM.from_pretrained(
            str(directory), initial_peers=[nodes.address], dtype=dtype, device=device, speculate=False
        ) as swarm:
            cases = []
            for rows in GENERATED:
                prompts = [random_ids(PROMPT_TOKENS_GENERATED, seed) for seed in range(rows)]
                ours, theirs = (partial(together, model, prompts, NEW_TOKENS) for model in (swarm, plain))
                cases.append(Case(f"{rows} in one call", f"swarm, {rows}", ours, f"transformers, {rows}", theirs, 1.15))
            return compare(cases, dtype, runs=3)


def main(
    shape: Annotated[str, typer.Option(help=" or ".join(SHAPES))] = "8b",
    layers: Annotated[int, typer.Option(min=1)] = 8,
    dtype: Annotated[str, typer.Option()] = "bfloat16",
    device: Annotated[str, typer.Option()] = "cuda",
    out: Out = Path("build/bench_gpu"),
) -> None:
    """Time decode steps and a prompt on a GPU."""
    results = Results(out, gpu=torch.cuda.get_device_name(device), shape=shape, layers=layers)
    with TemporaryDirectory(prefix="bench-model-") as name:
        layered = {**SHAPES[shape], "num_hidden_layers": layers, "max_position_embeddings": 8192}
        directory = make_llama(Path(name), dtype, layered, device)
        timings = measure(directory, layers, getattr(torch, dtype), device)
        torch.cuda.empty_cache()
        ratios = generate(directory, layers, dtype, device)
    show(
        timings,
        ("sessions × tokens", lambda line: line.what),
        ("weights", lambda line: line.weights),
        ("ms", lambda line: f"{line.swarm:.2f}"),
        ("transformers, ms", lambda line: "" if line.transformers is None else f"{line.transformers:.2f}"),
        ("ratio", lambda line: "" if line.transformers is None else f"{line.transformers / line.swarm:.2f}"),
        ("floor, ms", lambda line: f"{line.floor:.2f}" if line.floor else ""),
    )
    show_ratios(ratios)
    results.write(timings=timings, ratios=ratios)
