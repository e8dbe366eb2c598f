"""The hybrid that benchmarks run on: three of four blocks keep states, as in Qwen3-Next and Qwen3.5."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

from bench.shared.llama import HUNDRED_MILLION, VOCABULARY


def make_hybrid(directory: Path, dtype: str = "float32") -> Path:
    """A Qwen3.5 of the benchmarks' Llama's shape, of random weights from a fixed seed, saved in ``directory``."""
    torch.manual_seed(0)
    config = Qwen3_5TextConfig(
        vocab_size=VOCABULARY,
        head_dim=64,
        num_key_value_heads=4,
        linear_num_key_heads=6,
        linear_num_value_heads=12,
        linear_key_head_dim=64,
        linear_value_head_dim=64,
        **HUNDRED_MILLION,
    )
    model = Qwen3_5ForCausalLM(config).to(getattr(torch, dtype))
    # A model that never ends its text: every run has as many tokens.
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    model.save_pretrained(directory)
    return directory
