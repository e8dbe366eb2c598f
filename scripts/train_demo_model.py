"""Train the demo model that ships in `swarm_node/demo_model`: a small Llama that writes English about Python.

    python scripts/train_demo_model.py --steps 2600 --threads 1 --seed 0

The text is the documentation of the running interpreter's own standard library (see `demo_corpus.py`), so nothing is
downloaded. The same Python version, steps, threads and seed give the same model, up to the CPU's own rounding.
"""

import argparse
import math
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from demo_corpus import documents

OUTPUT = Path(__file__).resolve().parent.parent / "swarm_node" / "demo_model"

VOCABULARY = 2048
CONTEXT = 512  # tokens; the last steps train at this length, so it is what `max_position_embeddings` may promise
HIDDEN, INTERMEDIATE, BLOCKS, HEADS, KEY_VALUE_HEADS = 192, 512, 6, 6, 2
SHORT_CONTEXT, SHORT_SHARE = 256, 0.75  # the first steps train on shorter rows, which cost a third less
TOKENS_PER_STEP = 2048  # small: in a run this short, more steps are worth more than steadier ones
WARMUP_STEPS = 40
PEAK_RATE, FINAL_SHARE = 4e-3, 0.01
MATRIX_RATE = 2e-2  # Muon's: its updates have unit spectral norm
MOMENTUM = 0.95
WEIGHT_DECAY = 0.1
HELD_OUT_EVERY = 40  # one document in so many is kept from training, to measure the loss on
REPORT_STEPS = 40
SAMPLE_PROMPTS = ("The list type", "A class is", "Return the number of")


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of VOCABULARY tokens: any text can be encoded, and `<s>` begins every one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A fresh float32 Llama of BLOCKS blocks with tied embeddings."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=BLOCKS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_VALUE_HEADS,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def token_stream(tokenizer: PreTrainedTokenizerFast, texts: list[str], generator: torch.Generator) -> torch.Tensor:
    """All documents in a random order as one row of token ids, each between `<s>` and `</s>`."""
    order = torch.randperm(len(texts), generator=generator).tolist()
    encoded = tokenizer([texts[index] for index in order], verbose=False)["input_ids"]
    return torch.tensor([token for document in encoded for token in (*document, tokenizer.eos_token_id)])


def batches(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], steps: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """One batch per step, of shape [rows, length + 1]; every pass over the text shuffles the documents anew."""
    stream = token_stream(tokenizer, texts, generator)
    for step in range(steps):
        length = SHORT_CONTEXT if step < SHORT_SHARE * steps else CONTEXT
        rows = TOKENS_PER_STEP // length
        if len(stream) < rows * (length + 1):
            stream = torch.cat((stream, token_stream(tokenizer, texts, generator)))
        batch, stream = stream[: rows * (length + 1)], stream[rows * (length + 1) :]
        yield batch.view(rows, length + 1)


def token_loss(model: LlamaForCausalLM, rows: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy of the next token, in nats, over rows of shape [n, length + 1]."""
    logits = model(rows[:, :-1], use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())


class Muon(torch.optim.Optimizer):
    """Momentum whose update is the nearest matrix with equal singular values, in float32.

    `torch.optim.Muon` computes in bfloat16: on a CPU without bfloat16 arithmetic that takes longer than all the rest.
    """

    def __init__(self, matrices: list[torch.nn.Parameter], rate: float) -> None:
        super().__init__(matrices, {"lr": rate})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure
        for group in self.param_groups:
            for matrix in group["params"]:
                momentum = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                momentum.lerp_(matrix.grad, 1 - MOMENTUM)
                update = orthogonal(matrix.grad.lerp(momentum, MOMENTUM))
                tall = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                matrix.mul_(1 - group["lr"] * WEIGHT_DECAY).add_(update, alpha=-group["lr"] * tall)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """About the nearest matrix whose singular values all are 1, by five Newton-Schulz steps of degree five."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(5):
        square = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * square + 2.0315 * square @ square) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


def optimisers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for the embedding and the norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [Muon(matrices, MATRIX_RATE), torch.optim.AdamW(others, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0)]


def train(model: LlamaForCausalLM, rows: Iterator[torch.Tensor], steps: int) -> None:
    """Warm up, then follow a cosine down to FINAL_SHARE of the peak rates, reporting the loss on the way."""
    steppers = optimisers(model)
    peaks = [stepper.param_groups[0]["lr"] for stepper in steppers]
    began = time.monotonic()
    mean_loss = math.log(VOCABULARY)
    for step, row in enumerate(rows, start=1):
        cosine = FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * step / steps)) / 2
        for stepper, peak in zip(steppers, peaks, strict=True):
            stepper.param_groups[0]["lr"] = peak * cosine * min(1.0, step / WARMUP_STEPS)
        loss = token_loss(model, row)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        mean_loss += 0.05 * (loss.item() - mean_loss)
        if step % REPORT_STEPS == 0:
            sys.stdout.write(f"step {step:5d} of {steps}  loss {mean_loss:.3f}  {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()


@torch.no_grad()
def evaluate(model: LlamaForCausalLM, held_out: torch.Tensor) -> float:
    """Mean loss in nats per token on a stream of tokens that was not trained on."""
    rows = held_out[: len(held_out) // (CONTEXT + 1) * (CONTEXT + 1)].view(-1, CONTEXT + 1)
    return sum(token_loss(model, row[None]).item() for row in rows) / len(rows)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """Write weights (bfloat16: half the bytes, the same text), tokenizer and generation defaults."""
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    output.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(output)
    tokenizer.save_pretrained(output)


def write_samples(output: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(output)
    model = LlamaForCausalLM.from_pretrained(output, dtype=torch.float32)
    for prompt in SAMPLE_PROMPTS:
        inputs = tokenizer(prompt, return_tensors="pt")
        for options in ({"do_sample": False}, {"do_sample": True, "temperature": 0.7}):
            torch.manual_seed(0)
            tokens = model.generate(**inputs, max_new_tokens=60, **options)
            sys.stdout.write(f"\n{options}\n{tokenizer.decode(tokens[0], skip_special_tokens=True)}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2600, help="optimiser steps, about a second each (default: 2600)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and data order (default: 0)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="directory to write (default: the bundled one)")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    texts = documents()
    tokenizer = train_tokenizer(texts)
    held_out = token_stream(tokenizer, texts[::HELD_OUT_EVERY], generator)
    training = [text for index, text in enumerate(texts) if index % HELD_OUT_EVERY]
    model = build_model(tokenizer)
    sys.stdout.write(
        f"Python {platform.python_version()}: {len(texts)} documents, {sum(map(len, texts)):,} characters; "
        f"{sum(p.numel() for p in model.parameters()):,} parameters\n"
    )
    train(model, batches(tokenizer, training, arguments.steps, generator), arguments.steps)
    sys.stdout.write(f"held-out loss {evaluate(model, held_out):.3f} nats per token\n")
    save(model, tokenizer, arguments.output)
    write_samples(arguments.output)


if __name__ == "__main__":
    main()
