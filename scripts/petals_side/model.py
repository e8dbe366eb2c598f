"""The model that both projects serve: a Llama of 30 million numbers, drawn at random."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HIDDEN, BLOCKS, HEADS, MLP, VOCABULARY, CONTEXT = 512, 8, 8, 1408, 4096, 2048
SPREAD = 0.06
"""Standard deviation of the weights, three times what transformers draws.

With that, greedy texts would soon go in circles, and a client that guesses from repetitions, as ours does and Petals's
does not, would win by what no real text grants. These hardly ever repeat two tokens.
"""

BLOCK_PARAMETERS = 4 * HIDDEN * HIDDEN + 3 * HIDDEN * MLP + 2 * HIDDEN
PARAMETERS = BLOCKS * BLOCK_PARAMETERS + 2 * VOCABULARY * HIDDEN + HIDDEN

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": MLP,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
    "torch_dtype": "float32",
}
"""Read by transformers of 2023 and of today. No token ends a text, so that all are as long as asked for."""


def write_model(folder: Path, seed: int) -> None:
    """Write config.json and model.safetensors into ``folder``."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return random.standard_normal((rows, columns), dtype=np.float32) * np.float32(SPREAD)

    ones = np.ones(HIDDEN, dtype=np.float32)
    tensors = {
        "model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN),
        "model.norm.weight": ones,
        "lm_head.weight": matrix(VOCABULARY, HIDDEN),
    }
    for number in range(BLOCKS):
        block = f"model.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{block}.self_attn.{name}.weight"] = matrix(HIDDEN, HIDDEN)
        tensors[f"{block}.mlp.gate_proj.weight"] = matrix(MLP, HIDDEN)
        tensors[f"{block}.mlp.up_proj.weight"] = matrix(MLP, HIDDEN)
        tensors[f"{block}.mlp.down_proj.weight"] = matrix(HIDDEN, MLP)
        tensors[f"{block}.input_layernorm.weight"] = ones
        tensors[f"{block}.post_attention_layernorm.weight"] = ones
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2))


def draw_prompts(count: int, tokens: int, seed: int) -> list[list[int]]:
    """Random token ids; 0 and 1 are left out."""
    return np.random.default_rng([seed, 1]).integers(2, VOCABULARY, (count, tokens)).tolist()
