"""The model that benchmarks run on, made on the spot, and the machine that they run on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 32_000


def make_llama(directory: Path, dtype: str = "float32") -> Path:
    """A Llama of 100 million random weights from a fixed seed, saved in ``directory``."""
    config = LlamaConfig(
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        vocab_size=VOCABULARY,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(getattr(torch, dtype))
    # A model that never ends its text: every run has as many tokens.
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    model.save_pretrained(directory)
    return directory


def random_ids(length: int, seed: int) -> list[int]:
    """A prompt of ``length`` tokens that no other seed shares."""
    generator = torch.Generator().manual_seed(seed)
    return [int(token) for token in torch.randint(3, VOCABULARY, (length,), generator=generator)]


def environment() -> dict[str, Any]:
    """What a figure cannot be understood without."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "commit": commit.stdout.strip() or "none",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
